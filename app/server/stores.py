"""The stores of one data directory, opened from the settings: what the command line and the server both need."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from app.accounts.page_codes import PageCodes
from app.accounts.tokens import TokenStore
from app.adapters.finetunes import Finetunes
from app.adapters.lifecycle import Drafts
from app.adapters.store import AdapterStore
from app.data_dir.reserve import RESERVE_FILE, Reserve
from app.database import DATABASE_FILE, checkpoint, open_database
from app.errors import OperatorError, SettingsError, printable
from app.names import checked_account_id
from app.settings import Model, Settings, load_settings
from app.types import StoredAdapter

if TYPE_CHECKING:
    from app.adapters.inspection.base_model import BaseShape

ACCOUNTS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Stores:
    """`tokens`, `page_codes`, `adapters` and `drafts` over one `database`, with the settings that named it."""

    settings: Settings
    database: Engine
    tokens: TokenStore
    page_codes: PageCodes
    adapters: AdapterStore
    drafts: Drafts

    def checkpoint(self) -> None:
        """Make the data directory whole: `outworker.db` alone has all that was written."""
        checkpoint(self.database)

    @property
    def finetunes(self) -> Finetunes:
        """Adapters and drafts together, for a process that remembers neither."""
        return Finetunes(self.adapters, self.drafts, lambda: None)

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


def stores_of(settings: Settings) -> Stores:
    """Raises OperatorError."""
    reserve = Reserve(settings.server.data_dir / RESERVE_FILE)
    stores = reserve.spend(lambda: _opened(settings))
    reserve.keep()
    return stores


def _opened(settings: Settings) -> Stores:
    database = open_database(f"sqlite:///{settings.server.data_dir / DATABASE_FILE}")
    adapters = AdapterStore(database, settings.server.data_dir)
    return Stores(
        settings, database, TokenStore(database), PageCodes(database), adapters, Drafts(database, adapters)
    )
