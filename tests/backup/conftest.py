"""A data directory with what belongs into a backup: tokens, adapters, a draft with one of its assets, a token file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.accounts.development import development_token
from app.accounts.tokens import TokenStore
from app.adapters.finetune import Draft
from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.store import AdapterStore
from app.database.opening import DATABASE_FILE, checkpoint, open_database
from app.model_files.lora import CONFIG_FILE
from app.types import StoredAdapter
from tests.adapters.make import TINY, good

MODEL, WEIGHTS = "@hf/x", "stand-in"


@dataclass
class Data:
    """An opened data directory."""

    path: Path
    database: Engine

    def __post_init__(self) -> None:
        self.tokens = TokenStore(self.database)
        self.adapters = AdapterStore(self.database, LocalBlobs(self.path / "adapters"))
        self.finetunes = Finetunes(self.adapters)

    def add(self, scratch: Path, name: str, seed: int, *, replace: bool = False) -> StoredAdapter:
        folder = good(lora_alpha=seed).write(scratch / f"{name}-{seed}")
        return self.adapters.add("acme", name, MODEL, WEIGHTS, folder, TINY, replace=replace)

    def draft(self, name: str, data: bytes) -> Draft:
        """With its configuration in."""
        draft = self.finetunes.create("acme", name, MODEL, WEIGHTS)
        with self.finetunes.asset_file(len(data), 0) as asset_file:
            asset_file.write(data)
            return self.finetunes.put(draft, CONFIG_FILE, asset_file)

    def missing(self) -> list[str]:
        """Rows whose files are not there."""
        ready = [adapter.name for adapter in self.adapters.list("acme") if not _whole(adapter)]
        drafts = self.path / "adapters" / ".drafts"
        half = [
            draft.name
            for draft in self.finetunes.list("acme")
            if isinstance(draft, Draft)
            for sha256 in (draft.config_sha256, draft.weights_sha256)
            if sha256 and not (drafts / draft.id / sha256).is_file()
        ]
        return ready + half


def _whole(adapter: StoredAdapter) -> bool:
    return (adapter.folder / "adapter_model.safetensors").is_file()


def open_data(path: Path) -> Data:
    return Data(path, open_database(f"sqlite:///{path / DATABASE_FILE}"))


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    data = open_data(tmp_path / "data")
    development_token(data.tokens, data.path, "acme")
    data.add(tmp_path, "one", 1)
    data.add(tmp_path, "two", 2)
    data.draft("half", b"{}")
    yield data
    checkpoint(data.database)
