"""The stores of one data directory, opened from the settings: what the command line and the server both need."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine

from app.accounts.page_codes import PageCodes
from app.accounts.tokens import TokenStore
from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import ADAPTERS_FOLDER, LocalBlobs
from app.adapters.store import AdapterStore
from app.data_dir.reserve import RESERVE_FILE, Reserve
from app.data_dir.server_lock import is_held
from app.database.opening import DATABASE_FILE, checkpoint, open_database
from app.errors import OperatorError, SettingsError, printable
from app.names import checked_account_id
from app.settings import Model, Settings, load_settings
from app.settings.values import SQLITE
from app.types import StoredAdapter

if TYPE_CHECKING:
    from app.adapters.inspection.base_model import BaseShape

ACCOUNTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Stores:
    """`tokens`, `page_codes`, `adapters` and `finetunes` over one `database`, with the settings that named it."""

    settings: Settings
    database: Engine
    tokens: TokenStore
    page_codes: PageCodes
    adapters: AdapterStore
    finetunes: Finetunes

    def checkpoint(self) -> None:
        """Make the data directory whole: `outworker.db` alone has all that was written."""
        checkpoint(self.database)

    def check_account(self, account_id: str, else_do: str = "") -> None:
        """Raises `OperatorError` for an account that has nothing: more often a typing error than a new one."""
        known = {self.settings.account_id, *self.tokens.accounts()}
        if checked_account_id(account_id) in known or self.finetunes.list(account_id):
            return
        raise OperatorError(
            f"account {account_id}: no account has this id; there are {', '.join(sorted(known)[:ACCOUNTS_SHOWN])}"
            + (f"; choose one, {else_do}" if else_do else "")
        )

    def add_adapter(
        self,
        folder: Path,
        *,
        name: str,
        account_id: str | None,
        model: str | None,
        description: str,
        public: bool,
        replace: bool = False,
    ) -> StoredAdapter:
        """Check the folder against the base that the model's weights give, and register it. Raises OperatorError."""
        from app.weights.variants import load_catalogues, original_of  # noqa: PLC0415  as in `base_of`

        entry = model_entry(self.settings, model)
        base = base_of(self.settings, entry)
        account = account_id or self.settings.account_id
        return self.adapters.add(
            account,
            name,
            entry.name,
            original_of(load_catalogues(), entry.weights),
            folder,
            base,
            description=description,
            public=public,
            replace=replace,
        )


def model_entry(settings: Settings, name: str | None) -> Model:
    """The entry of the settings for a model card, their first when None. Raises `SettingsError`."""
    entries = {entry.name: entry for entry in settings.models}
    entry = settings.models[0] if name is None else entries.get(name)
    if entry is None:
        raise SettingsError(f"--model {printable(str(name))}: expected one of {', '.join(entries)}")
    return entry


def base_of(settings: Settings, entry: Model) -> "BaseShape":
    """The shape of the weights that serve a model card: what its adapters are checked against.

    The stand-in is expanded into the data directory when it isn't there yet. Raises `OperatorError`.
    """
    from app.adapters.inspection.base_model import base_name, read_base  # noqa: PLC0415  for the commands that check an adapter only
    from app.weights.source import Weights  # noqa: PLC0415

    return read_base(Weights(entry.weights, settings.server.data_dir).folder(), base_name(entry.weights))


def open_stores(config: Path | None, env: str | None) -> Stores:
    """Raises OperatorError."""
    return stores_of(load_settings(config, env, os.environ))


def stores_of(settings: Settings, *, is_server: bool = False) -> Stores:
    """With `is_server` the caller holds the data directory's lock. Raises OperatorError."""
    data_dir = settings.server.data_dir
    reserve = Reserve(data_dir / RESERVE_FILE)
    check = (lambda: None) if is_server else partial(_no_server, data_dir)
    stores = reserve.spend(lambda: _opened(settings, check))
    reserve.keep()
    return stores


def _opened(settings: Settings, before_migration: Callable[[], None]) -> Stores:
    data_dir = settings.server.data_dir
    database = open_database(database_url(settings), before_migration)
    adapters = AdapterStore(database, LocalBlobs(data_dir / ADAPTERS_FOLDER))
    return Stores(
        settings, database, TokenStore(database), PageCodes(database), adapters, Finetunes(adapters)
    )


def database_url(settings: Settings) -> URL | str:
    """Where the settings' database is."""
    if settings.database == SQLITE:
        return URL.create("sqlite", database=str(settings.server.data_dir / DATABASE_FILE))
    return settings.database


def _no_server(data_dir: Path) -> None:
    """A server of the older version would go on with tables that are not there any more. Raises `OperatorError`."""
    if is_held(data_dir):
        raise OperatorError(
            f"{data_dir}: has the database of an older version, and a server of that version uses it: stop the server, "
            "then try again"
        )
