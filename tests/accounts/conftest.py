import pytest
from sqlalchemy import Engine

from app.accounts.tokens import TokenStore


@pytest.fixture
def store(database: Engine) -> TokenStore:
    return TokenStore(database)
