"""The stores of one data directory, opened from the settings: what the command line and the server both need."""

import os
from dataclasses import dataclass
from pathlib import Path

from app.accounts.tokens import TokenStore
from app.adapters.store import AdapterStore
from app.database import open_database
from app.errors import SettingsError
from app.settings import Settings, load_settings
from app.types import StoredAdapter


@dataclass(frozen=True, slots=True)
class Stores:
    """`tokens` and `adapters` over one database, with the settings that named it."""

    settings: Settings
    tokens: TokenStore
    adapters: AdapterStore

    def add_adapter(
        self,
        folder: Path,
        *,
        name: str,
        account_id: str | None,
        model: str | None,
        description: str,
        public: bool,
    ) -> StoredAdapter:
        """Check the folder against the base that the model's weights give, and register it. Raises OperatorError."""
        from app.adapters.base import read_base  # noqa: PLC0415  numpy, for this command only
        from app.weights import Weights  # noqa: PLC0415

        entries = {entry.name: entry for entry in self.settings.models}
        entry = entries.get(model or self.settings.models[0].name)
        if entry is None:
            raise SettingsError(f"--model {model}: expected one of {', '.join(entries)}")
        base = read_base(Weights(entry.weights, self.settings.server.data_dir).folder(), entry.weights)
        account = account_id or self.settings.account_id
        return self.adapters.add(
            account, name, entry.name, entry.weights, folder, base, description=description, public=public
        )


def open_stores(config: Path | None, env: str | None) -> Stores:
    """Raises OperatorError."""
    return stores_of(load_settings(config, env, os.environ))


def stores_of(settings: Settings) -> Stores:
    """Raises OperatorError."""
    database = open_database(f"sqlite:///{settings.server.data_dir / 'outworker.db'}")
    return Stores(settings, TokenStore(database), AdapterStore(database, settings.server.data_dir))
