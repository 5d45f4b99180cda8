"""The adapters that accounts own: rows in the database, bytes in `app.adapters.blobs`, changed together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from app.adapters import draft_rows, rows
from app.adapters.blobs import Blobs
from app.adapters.disk import disk_errors
from app.adapters.inspection.base_model import BaseShape
from app.adapters.rows import AdapterRow
from app.data_dir.reserve import Reserve
from app.errors import AdapterRefused, OperatorError, printable
from app.names import can_name_adapter, checked_account_id, checked_name
from app.types import StoredAdapter

if TYPE_CHECKING:
    from app.adapters.sealing import SealedAdapter

ADAPTERS_PER_ACCOUNT_MAX = 100
DESCRIPTION_MAX_CHARS = 2_000


class AdapterStore:
    """Ready adapters by account. Methods block on disk and database: call from a thread, not an event loop.

    A row becomes visible after its folder is in place and invisible before its folder goes, so nobody sees
    half an adapter. What a killed process left is undone by the next one that opens the store.
    """

    def __init__(self, engine: Engine, data_dir: Path) -> None:
        self._engine = engine
        self.blobs = Blobs(data_dir / "adapters")
        self.reserve = Reserve.of(engine)
        with disk_errors():
            self._undo_unfinished()

    def add(  # noqa: PLR0917  what it is, where it is, what it is checked against
        self,
        account_id: str,
        name: str,
        model: str,
        weights: str,
        folder: Path,
        base: BaseShape,
        *,
        description: str = "",
        public: bool = False,
        replace: bool = False,
    ) -> StoredAdapter:
        """Copy the two files in `folder`, inspect the copy against `base`, and register it.

        The same content under the same name gives the adapter that is there. Other content is refused,
        or takes the old one's place with `replace`. Raises `AdapterRefused` for the files, `OperatorError`
        for the rest.
        """
        # Inspection needs numpy, whose import a server that only reads the store does not have to wait for.
        from app.adapters.sealing import take_in  # noqa: PLC0415

        columns = {
            "account_id": checked_account_id(account_id),
            "name": checked_name(name),
            "description": checked_description(description),
            "model": model,
            "weights": weights,
            "public": public,
        }
        with disk_errors(), self.blobs.staged() as staged:
            sealed = take_in(self.blobs, staged, folder, base)
            with self.blobs.lock():
                return self._add_sealed(sealed, columns, replace)

    def promote(
        self, sealed: "SealedAdapter", draft_id: str, columns: dict[str, object], replace: bool
    ) -> StoredAdapter:
        """Make a draft's sealed folder a ready adapter with the draft's id, and end the draft, in one step.

        Raises `AdapterRefused` when the name or the last room was taken meanwhile, `OperatorError` when the draft
        was deleted, and `OSError`.
        """
        with self.blobs.lock():
            with self._engine.connect() as connection:
                if draft_rows.by_id(connection, draft_id) is None:
                    raise OperatorError("the finetune was deleted meanwhile: create it again")
            try:
                self.check_room(str(columns["account_id"]), str(columns["name"]), replace, drafts=False)
            except OperatorError as error:
                raise AdapterRefused(str(error)) from None
            adapter = self._register(sealed, {"id": draft_id, **columns})
            self.blobs.remove_draft(draft_id)
        return adapter

    def check_room(self, account_id: str, name: str, replace: bool, *, drafts: bool = True) -> None:
        """Whether the account may have one more adapter, called `name`; with `drafts` unfinished ones count too.

        Raises `OperatorError`.
        """
        with self._engine.connect() as connection:
            taken = rows.by_name(connection, account_id, name) is not None
            ready = rows.count_ready(connection, account_id)
            unfinished = draft_rows.count_unfinished(connection, account_id, name) if drafts else 0
        _check_room(name, taken, ready, unfinished, replace)

    def find(self, account_id: str, id_or_name: str, weights: str | None = None) -> StoredAdapter | None:
        """The account's own adapter by id or name, or by its id one that another account made public.

        With `weights`, only one that was made for them.
        """
        if not can_name_adapter(id_or_name):
            return None
        with self._engine.connect() as connection:
            row = rows.usable(connection, account_id, id_or_name)
        if row is None or (weights is not None and row.weights != weights):
            return None
        return self._adapter(row)

    def list(self, account_id: str) -> list[StoredAdapter]:
        """The account's own adapters, oldest first."""
        with self._engine.connect() as connection:
            found = rows.ready(connection, checked_account_id(account_id))
        return [self._adapter(row) for row in found]

    def public(self, order_by: str, limit: int, offset: int) -> Sequence[StoredAdapter]:
        """Adapters that any account made public; `order_by` is one of `app.adapters.rows.PUBLIC_ORDERS`."""
        with self._engine.connect() as connection:
            found = rows.public(connection, order_by, limit, offset)
        return [self._adapter(row) for row in found]

    def digests(self) -> frozenset[str]:
        """Of all adapters of all accounts."""
        with self._engine.connect() as connection:
            return rows.digests(connection)

    def remove(self, account_id: str, id_or_name: str) -> StoredAdapter:
        """Remove the account's own adapter; its files go with the last of the account's that has them.

        Works on a full disk. Raises `OperatorError` when there is none.
        """
        with disk_errors(), self.blobs.lock():
            row = self.reserve.spend(lambda: self._hide(account_id, id_or_name))
            self.reserve.spend(lambda: self._remove_invisible(row))
        return self._adapter(row)

    def _hide(self, account_id: str, id_or_name: str) -> AdapterRow:
        with self._engine.begin() as connection:
            row = rows.own(connection, account_id, id_or_name)
            if row is None:
                raise OperatorError(
                    f"adapter {printable(id_or_name)!r}: account {printable(account_id)} has none with "
                    "this id or name; list the adapters to see them"
                )
            rows.set_state(connection, row.id, rows.REMOVING)
        return row

    def files_present(self, adapter: StoredAdapter) -> bool:
        """Whether both files are still on the disk."""
        return self.blobs.complete(adapter.folder)

    def _add_sealed(
        self, sealed: "SealedAdapter", columns: dict[str, object], replace: bool
    ) -> StoredAdapter:
        account_id, name = str(columns["account_id"]), str(columns["name"])
        with self._engine.connect() as connection:
            old = rows.by_name(connection, account_id, name)
        if old is not None and (old.digest, old.weights) == (sealed.digest, columns["weights"]):
            self.blobs.commit(sealed.staged, account_id, sealed.digest)
            return self._adapter(old)
        self.check_room(account_id, name, replace)
        return self._register(sealed, columns)

    def _register(self, sealed: "SealedAdapter", columns: dict[str, object]) -> StoredAdapter:
        """In the place of the account's adapter of that name, if there is one. Call with the lock held."""
        account_id = str(columns["account_id"])
        adapter_id = self._insert(sealed, columns)
        try:
            self.blobs.commit(sealed.staged, account_id, sealed.digest)
        except OSError:
            self._forget(adapter_id)
            raise
        with self._engine.begin() as connection:
            old = rows.by_name(connection, account_id, str(columns["name"]))
            if old is not None:
                rows.set_state(connection, old.id, rows.REMOVING)
            rows.set_state(connection, adapter_id, rows.READY)
            draft_rows.delete_draft(connection, adapter_id)
            new = rows.own(connection, account_id, adapter_id)
        if old is not None:
            self._remove_invisible(old)
        assert new is not None
        return self._adapter(new)

    def _insert(self, sealed: "SealedAdapter", columns: dict[str, object]) -> str:
        with self._engine.begin() as connection:
            return rows.insert_adding(connection, digest=sealed.digest, rank=sealed.rank, **columns)

    def _remove_invisible(self, row: AdapterRow) -> None:
        """Remove the files that only this row has, then the row. Call with the lock held."""
        with self._engine.connect() as connection:
            last = rows.is_last_of_digest(connection, row)
        if last:
            with disk_errors():
                self.blobs.remove(row.account_id, row.digest)
        self._forget(str(row.id))

    def _forget(self, adapter_id: str) -> None:
        with self._engine.begin() as connection:
            rows.delete_row(connection, adapter_id)

    def _undo_unfinished(self) -> None:
        """Whoever adds or removes holds the lock, so under it an unfinished row's process has ended."""
        with self.blobs.lock():
            with self._engine.connect() as connection:
                unfinished = rows.unfinished(connection)
                drafts = draft_rows.ids(connection)
            for row in unfinished:
                self._remove_invisible(row)
            self.blobs.sweep(drafts)

    def _adapter(self, row: AdapterRow) -> StoredAdapter:
        return rows.to_adapter(row, self.blobs.folder(row.account_id, row.digest))


def checked_description(text: str) -> str:
    if len(text) > DESCRIPTION_MAX_CHARS:
        raise OperatorError(
            f"description: has {len(text)} characters, must have at most {DESCRIPTION_MAX_CHARS}; shorten it"
        )
    return text


def _check_room(name: str, taken: bool, ready: int, unfinished: int, replace: bool) -> None:
    if taken and not replace:
        raise OperatorError(
            f"adapter {name!r}: the account has one of this name; delete it, choose another name, or replace it "
            '(--replace, or "replace": true in the API)'
        )
    if not taken and ready + unfinished >= ADAPTERS_PER_ACCOUNT_MAX:
        raise OperatorError(
            f"adapter {name!r}: the account has {ready + unfinished} of at most {ADAPTERS_PER_ACCOUNT_MAX}, "
            f"{unfinished} of them unfinished; delete one"
        )
