"""The adapters that accounts own: rows in the database, bytes in `app.adapters.blobs`, changed together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine

from app.adapters import rows
from app.adapters.blobs import Blobs
from app.adapters.disk import disk_errors
from app.adapters.finetune import Draft, Finetune, to_adapter, to_draft
from app.adapters.inspection.base_model import BaseShape
from app.adapters.rows import AdapterRow
from app.data_dir.reserve import Reserve
from app.database.tables import ADDING, CHECKING, CREATED, PENDING, READY, REMOVING
from app.database.transactions import exclusive
from app.errors import AdapterRefused, NoRoom, OperatorError, printable
from app.names import can_name_adapter, checked_account_id, checked_name
from app.types import StoredAdapter

if TYPE_CHECKING:
    from pathlib import Path

    from app.adapters.sealing import SealedAdapter

ADAPTERS_PER_ACCOUNT_MAX = 100
DESCRIPTION_MAX_CHARS = 2_000


class AdapterStore:
    """Adapters by account. Methods block on disk and database: call from a thread, not an event loop.

    A row becomes visible after its folder is in place and invisible before its folder goes, so nobody sees
    half an adapter. What a killed process left is undone by the next one that opens the store. Names and room are
    kept by the database alone; the lock of `blobs` is held only where files move.
    """

    def __init__(self, engine: Engine, blobs: Blobs, max_adapters: int = ADAPTERS_PER_ACCOUNT_MAX) -> None:
        self.engine = engine
        self.blobs = blobs
        self.reserve = Reserve.of(engine)
        self._max_adapters = max_adapters
        with disk_errors():
            self._undo_unfinished()

    def add(  # noqa: PLR0917  what it is, where it is, what it is checked against
        self,
        account_id: str,
        name: str,
        model: str,
        weights: str,
        folder: "Path",
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

        columns = checked_columns(account_id, name, model, weights, description, public)
        with disk_errors(), self.blobs.staged() as staged:
            sealed = take_in(staged, folder, base)
            with self.blobs.lock():
                return self._add_sealed(sealed, columns, replace)

    def promote(self, sealed: "SealedAdapter", draft: Draft) -> StoredAdapter | None:
        """Make a draft's sealed folder a ready adapter with the draft's id, in the place of the draft.

        None when somebody else has decided about the draft meanwhile. Raises `AdapterRefused` when the name or the last
        room was taken, and `OSError`.
        """
        sealing = {"digest": sealed.digest, "rank": sealed.rank}
        with self.blobs.lock():
            try:
                with exclusive(self.engine, draft.account_id) as connection:
                    self.check_room(connection, draft.account_id, draft.name, draft.replaces, drafts=False)
                    if not rows.change(connection, draft.id, CHECKING, **sealing):
                        return None
                adapter = self._make_ready(sealed, draft.id, CHECKING, draft.account_id, draft.replaces)
            except NoRoom as error:
                raise AdapterRefused(str(error)) from None
            self.blobs.remove_draft(draft.id)
        return adapter

    def check_room(
        self, connection: Connection, account_id: str, name: str, replace: bool, *, drafts: bool = True
    ) -> None:
        """Whether the account may have one more adapter, called `name`; with `drafts` unfinished ones count too.

        Call in a transaction about the account. Raises `NoRoom`.
        """
        if rows.of_name(connection, account_id, name, (READY,)) is not None:
            if not replace:
                raise NoRoom(_taken(name))
            return
        ready = rows.count(connection, account_id, (READY, ADDING))
        unfinished = rows.count(connection, account_id, (CREATED, CHECKING), name) if drafts else 0
        if ready + unfinished >= self._max_adapters:
            raise NoRoom(
                f"adapter {name!r}: the account has {ready + unfinished} of at most {self._max_adapters}, "
                f"{unfinished} of them unfinished; delete one"
            )

    def find(self, account_id: str, id_or_name: str) -> StoredAdapter | None:
        """The account's own ready adapter by id or name, or by its id one that another account made public."""
        found = self.finetune(account_id, id_or_name)
        return found if isinstance(found, StoredAdapter) else None

    def draft(self, account_id: str, id_or_name: str) -> Draft | None:
        """The account's draft by id or name."""
        drafts = (found for found in self._usable(account_id, id_or_name) if isinstance(found, Draft))
        return next(drafts, None)

    def finetune(self, account_id: str, id_or_name: str) -> Finetune | None:
        """As `find`, and the account's draft where there is no ready adapter."""
        return next(iter(self._usable(account_id, id_or_name)), None)

    def list(self, account_id: str) -> list[StoredAdapter]:
        """The account's own ready adapters, oldest first."""
        return [found for found in self.finetunes(account_id) if isinstance(found, StoredAdapter)]

    def finetunes(self, account_id: str) -> Sequence[Finetune]:
        """The account's own ready adapters and drafts, oldest first."""
        with self.engine.connect() as connection:
            found = rows.of_account(connection, checked_account_id(account_id))
        return [self._finetune(row) for row in found]

    def public(self, order_by: str, limit: int, offset: int) -> Sequence[StoredAdapter]:
        """Adapters that any account made public; `order_by` is one of `app.adapters.rows.PUBLIC_ORDERS`."""
        with self.engine.connect() as connection:
            found = rows.public(connection, order_by, limit, offset)
        return [self._adapter(row) for row in found]

    def digests(self) -> frozenset[str]:
        """Of all adapters of all accounts."""
        with self.engine.connect() as connection:
            return rows.digests(connection)

    def remove(self, account_id: str, id_or_name: str) -> StoredAdapter:
        """Remove the account's own ready adapter; its files go with the last of the account's that has them.

        Works on a full disk. Raises `OperatorError` when there is none.
        """
        row = self.reserve.spend(lambda: self._hide(account_id, id_or_name))
        with disk_errors(), self.blobs.lock():
            self.reserve.spend(lambda: self._remove_invisible(row))
        return self._adapter(row)

    def remove_files(self, account_id: str, digest: str, but_id: str = "") -> None:
        """Remove a stored folder that no row but `but_id` needs. Call with the lock held; raises `OSError`."""
        if digest:
            with self.engine.connect() as connection:
                needed = rows.needs_digest(connection, account_id, digest, but_id)
            if not needed:
                self.blobs.remove(account_id, digest)

    def files_present(self, adapter: StoredAdapter) -> bool:
        """Whether both files are still there."""
        return self.blobs.complete(adapter.folder)

    def _usable(self, account_id: str, id_or_name: str) -> Sequence[Finetune]:
        if not can_name_adapter(id_or_name):
            return ()
        with self.engine.connect() as connection:
            found = rows.usable(connection, account_id, id_or_name)
        return [self._finetune(row) for row in found]

    def _hide(self, account_id: str, id_or_name: str) -> AdapterRow:
        with exclusive(self.engine, account_id) as connection:
            found = rows.usable(connection, account_id, id_or_name) if can_name_adapter(id_or_name) else ()
            own = next((row for row in found if (row.account_id, row.state) == (account_id, READY)), None)
            if own is None:
                raise OperatorError(
                    f"adapter {printable(id_or_name)!r}: account {printable(account_id)} has none with "
                    "this id or name; list the adapters to see them"
                )
            rows.change(connection, own.id, READY, state=REMOVING)
        return own

    def _add_sealed(
        self, sealed: "SealedAdapter", columns: dict[str, object], replace: bool
    ) -> StoredAdapter:
        account_id, name = str(columns["account_id"]), str(columns["name"])
        with exclusive(self.engine, account_id) as connection:
            old = rows.of_name(connection, account_id, name, (READY,))
            if old is None or (old.digest, old.weights) != (sealed.digest, columns["weights"]):
                self.check_room(connection, account_id, name, replace)
                sealing = {"digest": sealed.digest, "rank": sealed.rank}
                adapter_id, old = rows.insert_row(connection, ADDING, **sealing, **columns), None
        if old is not None:
            self.blobs.commit(sealed.staged, account_id, sealed.digest)
            return self._adapter(old)
        try:
            added = self._make_ready(sealed, adapter_id, ADDING, account_id, replace)
        except (OSError, NoRoom):
            self._forget(adapter_id)
            raise
        if added is None:
            raise OperatorError(f"adapter {name!r}: was removed while it was added; add it again")
        return added

    def _make_ready(
        self, sealed: "SealedAdapter", adapter_id: str, in_state: str, account_id: str, replace: bool
    ) -> StoredAdapter | None:
        """With `replace` in the place of the account's ready adapter of that name. Call with the lock held.

        None when the row left `in_state` meanwhile. Nothing stays of it then, nor when `NoRoom` is raised, because the
        name was taken.
        """
        self.blobs.commit(sealed.staged, account_id, sealed.digest)
        try:
            with exclusive(self.engine, account_id) as connection:
                new, old = self._swap(connection, adapter_id, in_state, replace)
        except NoRoom:
            self.remove_files(account_id, sealed.digest, adapter_id)
            raise
        if new is None:
            self.remove_files(account_id, sealed.digest)
            return None
        if old is not None:
            self._remove_invisible(old)
        return self._adapter(new)

    @staticmethod
    def _swap(
        connection: Connection, adapter_id: str, in_state: str, replace: bool
    ) -> tuple[AdapterRow | None, AdapterRow | None]:
        """The ready adapter, and the one whose place it took. Raises `NoRoom`."""
        row = rows.by_id(connection, adapter_id)
        if row is None or row.state != in_state:
            return None, None
        old = rows.of_name(connection, row.account_id, row.name, (READY,))
        if old is not None and not replace:
            raise NoRoom(_taken(row.name))
        if old is not None:
            rows.change(connection, old.id, READY, state=REMOVING)
        rows.change(connection, adapter_id, in_state, state=READY)
        return rows.by_id(connection, adapter_id), old

    def _remove_invisible(self, row: AdapterRow) -> None:
        """Remove the files that only this row has, then the row. Call with the lock held."""
        with disk_errors():
            self.remove_files(row.account_id, row.digest, row.id)
        self._forget(row.id)

    def _forget(self, adapter_id: str) -> None:
        with self.engine.begin() as connection:
            rows.delete_row(connection, adapter_id)

    def _undo_unfinished(self) -> None:
        """Whoever adds or removes files holds the lock, so under it an unfinished row's process has ended."""
        with self.blobs.lock():
            with self.engine.connect() as connection:
                unfinished = rows.in_states(connection, ADDING, REMOVING)
                drafts = [str(row.id) for row in rows.in_states(connection, *PENDING)]
            for row in unfinished:
                self._remove_invisible(row)
            self.blobs.sweep(drafts)

    def _finetune(self, row: AdapterRow) -> Finetune:
        return self._adapter(row) if row.state == READY else to_draft(row)

    def _adapter(self, row: AdapterRow) -> StoredAdapter:
        return to_adapter(row, self.blobs.folder(row.account_id, row.digest))


def checked_columns(  # noqa: PLR0917  those that a person chooses, and what they are for
    account_id: str, name: str, model: str, weights: str, description: str, public: bool
) -> dict[str, object]:
    """The columns of a new adapter that are known before its files. Raises `OperatorError`."""
    return {
        "account_id": checked_account_id(account_id),
        "name": checked_name(name),
        "description": _checked_description(description),
        "model": model,
        "weights": weights,
        "public": public,
    }


def _checked_description(text: str) -> str:
    """Raises `OperatorError`."""
    if len(text) > DESCRIPTION_MAX_CHARS:
        raise OperatorError(
            f"description: has {len(text)} characters, must have at most {DESCRIPTION_MAX_CHARS}; shorten it"
        )
    if "\0" in text:
        raise OperatorError("description: has a NUL character; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of a command line, or half a surrogate pair
        raise OperatorError("description: is not text in UTF-8; write it so") from None
    return text


def _taken(name: str) -> str:
    return (
        f"adapter {name!r}: the account has one of this name; delete it, choose another name, or replace it "
        '(--replace, or "replace": true in the API)'
    )
