from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.adapters.lifecycle import Drafts
from app.adapters.store import AdapterStore
from app.database import open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'outworker.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(database: Engine, tmp_path: Path) -> AdapterStore:
    return AdapterStore(database, tmp_path / "data")


@pytest.fixture
def drafts(database: Engine, store: AdapterStore) -> Drafts:
    return Drafts(database, store)
