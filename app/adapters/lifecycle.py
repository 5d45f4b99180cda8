"""An adapter's way over the API: created, filled asset by asset, then made ready or refused; deleted in any state.

The row is the truth: it says that an asset is in only after the asset is durable in its place.
"""

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.adapters import rows
from app.adapters.asset_file import AssetFile
from app.adapters.disk import check_room, disk_errors
from app.adapters.finetune import Draft, Finetune, to_draft
from app.adapters.inspection.base_model import BaseShape
from app.adapters.rows import AdapterRow
from app.adapters.store import AdapterStore, checked_columns
from app.database.tables import CHECKING, CREATED, PENDING, REFUSED
from app.database.transactions import exclusive
from app.errors import AdapterRefused, FinetuneNotFound, OperatorError
from app.types import StoredAdapter

DRAFT_EXPIRES_AFTER_S = 24 * 3600.0
FINDINGS_KEPT = 20
REFUSED_KEPT = 100
DELETED_MEANWHILE = "the finetune was deleted meanwhile: create it again"


class Finetunes:
    """The finetunes of all accounts: the ready adapters in `store`, and what is on its way to become one.

    Methods block on disk and database: call from a thread.
    """

    def __init__(self, store: AdapterStore, refused_kept: int = REFUSED_KEPT) -> None:
        self.store = store
        self._engine = store.engine
        self._blobs = store.blobs
        self._refused_kept = refused_kept
        self._changed: list[Callable[[], None]] = []
        self._checking: set[str] = set()
        self._checked = threading.Condition()

    def on_change(self, told: Callable[[], None]) -> None:
        """Call `told` after each change, so that what is remembered elsewhere is asked for again."""
        self._changed.append(told)

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
        columns = checked_columns(account_id, name, model, weights, description, public)
        self.drop_expired()
        with exclusive(self._engine, account_id) as connection:
            self.store.check_room(connection, account_id, name, replaces)
            old = rows.of_name(connection, account_id, name, PENDING)
            if old is not None:
                rows.delete_row(connection, old.id, PENDING)
            new = rows.by_id(connection, rows.insert_row(connection, CREATED, replaces=replaces, **columns))
        if old is not None:
            self._remove_files(old)
        assert new is not None
        return to_draft(new)

    def find(self, account_id: str, id_or_name: str) -> Finetune:
        """The account's own, a ready one first where two share a name, or a public one by id.

        Raises `FinetuneNotFound`.
        """
        found = self.store.finetune(account_id, id_or_name)
        if found is None:
            raise FinetuneNotFound(id_or_name)
        return found

    def list(self, account_id: str) -> Sequence[Finetune]:
        """The account's own, oldest first."""
        return self.store.finetunes(account_id)

    def draft_for_assets(self, account_id: str, id_or_name: str, weights: Container[str]) -> Draft:
        """The draft that takes assets under that id or name; `weights` are those that are served.

        Raises `FinetuneNotFound` and `OperatorError`.
        """
        draft = self.store.draft(account_id, id_or_name)
        if draft is not None:
            draft.check_open()
            if draft.weights not in weights:
                raise OperatorError(
                    f"{draft.model} is not served as it was when {draft.name} was created: create it again"
                )
            return draft
        adapter = self.find(account_id, id_or_name)
        if adapter.account_id != account_id:
            raise FinetuneNotFound(id_or_name)
        raise OperatorError(
            f"{adapter.name} is ready and its assets can't be replaced: create a new finetune"
        )

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
        with disk_errors(), self._blobs.lock():
            self._again(draft).check_open()
            self._blobs.put_asset(draft.id, sha256, asset_file.path)
            with self._engine.begin() as connection:
                done = rows.put_asset(connection, draft.id, file_name, sha256)
                row = rows.by_id(connection, draft.id)
            if row is None:
                self._blobs.remove_draft(draft.id)
                raise OperatorError(DELETED_MEANWHILE)
            now = to_draft(row)
            self._blobs.keep_assets(draft.id, (now.config_sha256, now.weights_sha256))
            if not done:
                now.check_open()
        return now

    def finish(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        """Inspect a complete draft and make it a ready adapter with the same id; notes for its owner beside it.

        Where somebody else did so meanwhile the verdict is theirs. Raises `AdapterRefused`, whose findings the draft
        then keeps, and `OperatorError` when it was deleted. After a `StorageError` the draft stays complete.
        """
        try:
            with self._alone_with(draft.id):
                now = self._again(draft)
                return self._check(now, base) if now.complete else (self._verdict(draft), ())
        finally:
            self._tell()

    def delete(self, account_id: str, id_or_name: str) -> Finetune:
        """Delete the account's own finetune, on a full disk too. Raises `FinetuneNotFound` when there is none."""
        while True:
            found = self.find(account_id, id_or_name)
            if found.account_id != account_id:
                raise FinetuneNotFound(id_or_name)
            if self._remove(found):
                self._tell()
                return found

    def undecided(self) -> Sequence[Draft]:
        """Complete drafts: somebody checks them, or ended while checking."""
        with self._engine.connect() as connection:
            return [to_draft(row) for row in rows.in_states(connection, CHECKING)]

    def drop_expired(self) -> None:
        """Remove drafts whose last change is a day old; complete ones are still to be checked."""
        with self._engine.connect() as connection:
            expired = rows.expired(connection, DRAFT_EXPIRES_AFTER_S)
        for row in expired:
            with self._engine.begin() as connection:
                gone = rows.delete_expired(connection, row.id, DRAFT_EXPIRES_AFTER_S)
            if gone:
                self._remove_files(row)

    def _tell(self) -> None:
        for told in self._changed:
            told()

    def _check(self, draft: Draft, base: BaseShape) -> tuple[StoredAdapter, tuple[str, ...]]:
        from app.adapters.sealing import inspect_staged  # noqa: PLC0415  numpy, see app.adapters.store

        with disk_errors(), self._blobs.staged() as staged:
            self._link(draft, staged)
            try:
                sealed = inspect_staged(staged, draft.weights_sha256, base)
                return self.store.promote(sealed, draft) or self._verdict(draft), sealed.notes
            except AdapterRefused as refusal:
                self._refuse(draft, refusal.findings)
                raise

    def _verdict(self, draft: Draft) -> StoredAdapter:
        """What somebody else made of it. Raises `AdapterRefused` and `OperatorError`."""
        found = self.store.finetune(draft.account_id, draft.id)
        if isinstance(found, StoredAdapter):
            return found
        if found is None:
            raise OperatorError(DELETED_MEANWHILE)
        if found.findings:
            raise AdapterRefused(*found.findings)
        raise OperatorError(f"{found.name} is being checked by another server: ask again")

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

    def _link(self, draft: Draft, staged: Path) -> None:
        try:
            self._blobs.link(draft.id, draft.config_sha256, draft.weights_sha256, staged)
        except FileNotFoundError:
            raise OperatorError(DELETED_MEANWHILE) from None

    def _refuse(self, draft: Draft, findings: tuple[str, ...]) -> None:
        kept = "\n".join(findings[:FINDINGS_KEPT])
        with exclusive(self._engine, draft.account_id) as connection:
            row = rows.by_id(connection, draft.id)
            refusal = {"state": REFUSED, "findings": kept, "digest": ""}
            refused = rows.change(connection, draft.id, CHECKING, **refusal)
            for old in rows.oldest_refused(connection, draft.account_id, self._refused_kept):
                rows.delete_row(connection, old.id, (REFUSED,))
        if refused and row is not None:
            self._remove_files(row)

    def _remove(self, found: Finetune) -> bool:
        """Whether it was there: somebody else may have deleted it, and a draft may have become ready meanwhile."""
        if isinstance(found, Draft):
            return self.store.reserve.spend(lambda: self._remove_draft(found.id, found.account_id))
        self.store.remove(found.account_id, found.id)
        return True

    def _remove_draft(self, draft_id: str, account_id: str) -> bool:
        """The row first: assets without a row are swept, a row without its assets would be a lie."""
        with exclusive(self._engine, account_id) as connection:
            row = rows.by_id(connection, draft_id)
            was_there = rows.delete_row(connection, draft_id, PENDING)
        if was_there and row is not None:
            self._remove_files(row)
        return was_there

    def _remove_files(self, row: AdapterRow) -> None:
        """What a draft that is gone or refused has on the disk."""
        with disk_errors(), self._blobs.lock():
            self._blobs.remove_draft(row.id)
            self.store.remove_files(row.account_id, row.digest, row.id)

    def _again(self, draft: Draft) -> Draft:
        with self._engine.connect() as connection:
            row = rows.by_id(connection, draft.id)
        if row is None:
            raise OperatorError(DELETED_MEANWHILE)
        return to_draft(row)
