from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.accounts.tokens import TokenStore
from app.database import open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'outworker.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def store(database: Engine) -> TokenStore:
    return TokenStore(database)
