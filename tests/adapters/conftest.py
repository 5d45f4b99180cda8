from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.store import AdapterStore


@pytest.fixture
def store(database: Engine, tmp_path: Path) -> AdapterStore:
    return AdapterStore(database, LocalBlobs(tmp_path / "data" / "adapters"))


@pytest.fixture
def finetunes(store: AdapterStore) -> Finetunes:
    return Finetunes(store)
