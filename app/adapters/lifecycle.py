"""Adapters that are not ready yet: created over the API, filled asset by asset, then made ready or refused.

A draft's row is the truth: it says that an asset is in only after the asset is durable in its place. Nothing says
"being checked": both assets in and no finding means that somebody checks it, or will when the server starts again.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from app.adapters import draft_rows
from app.adapters.asset_file import AssetFile
from app.adapters.disk import check_room, disk_errors
from app.adapters.draft_rows import DraftRow
from app.adapters.inspection.base_model import BaseShape
from app.adapters.store import AdapterStore, checked_description
from app.errors import AdapterRefused, OperatorError
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.names import can_name_adapter, checked_account_id, checked_name
from app.types import StoredAdapter

DRAFT_EXPIRES_AFTER_S = 24 * 3600.0
FINDINGS_KEPT = 20
REFUSED_KEPT = 100
DELETED_MEANWHILE = "the finetune was deleted meanwhile: create it again"


@dataclass(frozen=True, slots=True)
class Draft:
    """`missing` are the assets that are still to come. `findings` is empty unless it was refused."""

    id: str
    account_id: str
    name: str
    model: str
    weights: str
    description: str
    public: bool
    replaces: bool
    missing: tuple[str, ...]
    findings: tuple[str, ...]
    config_sha256: str
    weights_sha256: str
    created_at: str
    modified_at: str

    @property
    def complete(self) -> bool:
        """Both assets are in, and what to think of them is not yet known."""
        return not self.missing and not self.findings


class Drafts:
    """The drafts beside the ready adapters in `store`, in the same database `engine`.

    Methods block on disk and database: call from a thread.
    """

    def __init__(self, engine: Engine, store: AdapterStore) -> None:
        self._engine = engine
        self._blobs = store.blobs
        self._store = store
        self._checking: set[str] = set()
        self._checked = threading.Condition()

    def create(
        self,
        account_id: str,
        name: str,
        model: str,
        weights: str,
        *,
        description: str = "",
        public: bool = False,
        replaces: bool = False,
    ) -> Draft:
        """A new draft in the place of the account's draft of that name, if there is one.

        With `replaces` it takes the place of a ready adapter of its name once it is ready itself. Raises
        `OperatorError` for a name that is taken or none, and when there is no room.
        """
        columns = {
            "account_id": checked_account_id(account_id),
            "name": checked_name(name),
            "description": checked_description(description),
            "model": model,
            "weights": weights,
            "public": public,
            "replaces": replaces,
        }
        with disk_errors(), self._blobs.lock():
            self._drop_expired()
            self._store.check_room(account_id, name, replaces)
            old = self._row(account_id, name)
            with self._engine.begin() as connection:
                if old is not None:
                    draft_rows.delete_draft(connection, old.id)
                new = draft_rows.by_id(connection, draft_rows.insert_draft(connection, **columns))
            if old is not None:
                self._blobs.remove_draft(old.id)
        assert new is not None
        return to_draft(new)

    def find(self, account_id: str, id_or_name: str) -> Draft | None:
        """The account's draft by id or name."""
        row = self._row(account_id, id_or_name) if can_name_adapter(id_or_name) else None
        return to_draft(row) if row is not None else None

    def remove(self, draft: Draft) -> bool:
        """Remove a draft and its assets, on a full disk too; whether it was there."""
        with disk_errors(), self._blobs.lock():
            return self._store.reserve.spend(lambda: self._remove(draft.id))

    @contextmanager
    def asset_file(self, expected_bytes: int, min_free_bytes: int) -> Iterator[AssetFile]:
        """A place for one asset's bytes; what `put` did not take goes at the end.

        Raises `StorageError` when `expected_bytes` more would leave less than `min_free_bytes` on the disk.
        """
        with disk_errors(), self._blobs.staged() as staged:
            check_room(staged, expected_bytes, min_free_bytes)
            asset_file = AssetFile(staged, min_free_bytes)
            try:
                yield asset_file
            finally:
                asset_file.close()

    def put(self, draft: Draft, file_name: str, asset_file: AssetFile) -> Draft:
        """Make the received bytes an asset of the draft; the draft as it is then.

        An asset may be sent again until both are in. Raises `OperatorError` when they are or the draft is gone.
        """
        sha256 = asset_file.finish(file_name)
        column = {CONFIG_FILE: "config_sha256", WEIGHTS_FILE: "weights_sha256"}[file_name]
        with disk_errors(), self._blobs.lock():
            self.check_open(self._again(draft))
            self._blobs.place(asset_file.path, draft.id, sha256)
            with self._engine.begin() as connection:
                draft_rows.update_draft(connection, draft.id, **{column: sha256})
            now = self._again(draft)
            self._blobs.keep(draft.id, (now.config_sha256, now.weights_sha256))
        return now

    def check_open(self, draft: Draft) -> None:
        """Raises `OperatorError` when the draft takes no asset any more."""
        if draft.findings:
            raise OperatorError(
                f"{draft.name} was refused: create it again. The reason was: {draft.findings[0]}"
            )
        if not draft.missing:
            raise OperatorError(f"{draft.name} has both its assets, which can't be replaced: create it again")

    def finish(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        """Inspect a complete draft and make it a ready adapter with the same id; notes for its owner beside it.

        Where somebody else did so meanwhile the verdict is theirs. Raises `AdapterRefused`, whose findings the draft
        then keeps, and `OperatorError` when it was deleted. After a `StorageError` the draft stays complete.
        """
        with self._alone_with(draft.id):
            ready = self._store.find(draft.account_id, draft.id)
            if ready is not None:
                return ready, ()
            draft = self._again(draft)
            if draft.findings:
                raise AdapterRefused(*draft.findings)
            return self._check(draft, base)

    def _check(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        from app.adapters.sealing import inspect_staged  # noqa: PLC0415  numpy, see app.adapters.store

        with disk_errors(), self._blobs.staged() as staged:
            self._link(draft, staged)
            try:
                sealed = inspect_staged(self._blobs, staged, draft.weights_sha256, base)
                return self._store.promote(sealed, draft.id, _columns(draft), draft.replaces), sealed.notes
            except AdapterRefused as refusal:
                self._refuse(draft, refusal.findings)
                raise

    @contextmanager
    def _alone_with(self, draft_id: str) -> Iterator[None]:
        """Waits until no other thread of this process checks that draft."""
        with self._checked:
            self._checked.wait_for(lambda: draft_id not in self._checking)
            self._checking.add(draft_id)
        try:
            yield
        finally:
            with self._checked:
                self._checking.discard(draft_id)
                self._checked.notify_all()

    def undecided(self) -> Sequence[Draft]:
        """Complete drafts: somebody checks them, or ended while checking."""
        with self._engine.connect() as connection:
            return [to_draft(row) for row in draft_rows.undecided(connection)]

    def list(self, account_id: str) -> list[Draft]:
        """Oldest first."""
        with self._engine.connect() as connection:
            return [
                to_draft(row) for row in draft_rows.of_account(connection, checked_account_id(account_id))
            ]

    def drop_expired(self) -> None:
        """Remove drafts whose last change is a day old; complete ones are still to be checked."""
        with disk_errors(), self._blobs.lock():
            self._drop_expired()

    def _link(self, draft: Draft, staged: Path) -> None:
        try:
            self._blobs.link(draft.id, draft.config_sha256, draft.weights_sha256, staged)
        except FileNotFoundError:
            raise OperatorError(DELETED_MEANWHILE) from None

    def _refuse(self, draft: Draft, findings: tuple[str, ...]) -> None:
        with self._blobs.lock():
            kept = "\n".join(findings[:FINDINGS_KEPT])
            with self._engine.begin() as connection:
                draft_rows.update_draft(connection, draft.id, findings=kept)
                for row in draft_rows.oldest_refused(connection, draft.account_id, REFUSED_KEPT):
                    draft_rows.delete_draft(connection, row.id)
            self._blobs.remove_draft(draft.id)

    def _drop_expired(self) -> None:
        with self._engine.connect() as connection:
            old = draft_rows.expired(connection, DRAFT_EXPIRES_AFTER_S)
        for row in old:
            self._remove(row.id)

    def _remove(self, draft_id: str) -> bool:
        """The row first: assets without a row are swept, a row without its assets would be a lie."""
        with self._engine.begin() as connection:
            was_there = draft_rows.delete_draft(connection, draft_id)
        self._blobs.remove_draft(draft_id)
        return was_there

    def _row(self, account_id: str, id_or_name: str) -> DraftRow | None:
        with self._engine.connect() as connection:
            return draft_rows.own(connection, account_id, id_or_name)

    def _again(self, draft: Draft) -> Draft:
        with self._engine.connect() as connection:
            row = draft_rows.by_id(connection, draft.id)
        if row is None:
            raise OperatorError(DELETED_MEANWHILE)
        return to_draft(row)


def to_draft(row: DraftRow) -> Draft:
    sent = {CONFIG_FILE: row.config_sha256, WEIGHTS_FILE: row.weights_sha256}
    return Draft(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        model=row.model,
        weights=row.weights,
        description=row.description,
        public=row.public,
        replaces=row.replaces,
        missing=tuple(name for name, sha256 in sent.items() if not sha256),
        findings=tuple(row.findings.splitlines()),
        config_sha256=row.config_sha256,
        weights_sha256=row.weights_sha256,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def _columns(draft: Draft) -> dict[str, object]:
    names = ("account_id", "name", "description", "model", "weights", "public", "created_at")
    return {name: getattr(draft, name) for name in names}
