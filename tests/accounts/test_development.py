import concurrent.futures
from pathlib import Path

import pytest

from app.accounts.development import development_token
from app.accounts.tokens import TokenStore
from app.errors import OperatorError
from app.types import Caller

WRITER = Caller("local", frozenset({"ai:read", "ai:write"}))


def test_the_token_is_made_once_and_reused(store: TokenStore, tmp_path: Path) -> None:
    token, created = development_token(store, tmp_path / "data", "local")
    assert created
    assert store.find(token) == WRITER
    assert development_token(store, tmp_path / "data", "local") == (token, False)
    assert len(store.list()) == 1


def test_the_file_is_private(store: TokenStore, tmp_path: Path) -> None:
    token, _ = development_token(store, tmp_path / "mine", "local")
    file = tmp_path / "mine" / "dev-token"
    assert file.read_text().strip() == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["dev-token"]
    file.chmod(0o644)
    development_token(store, tmp_path / "mine", "local")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "nonsense", "ow_" + "A" * 43, "é" * 2000])
def test_a_file_that_says_something_else_is_renewed(content: str, store: TokenStore, tmp_path: Path) -> None:
    (tmp_path / "dev-token").write_text(content)
    token, created = development_token(store, tmp_path, "local")
    assert created
    assert store.find(token) == WRITER
    assert (tmp_path / "dev-token").read_text() == token + "\n"


def test_a_lost_file_a_revoked_token_and_another_account_are_renewed(
    store: TokenStore, tmp_path: Path
) -> None:
    first, _ = development_token(store, tmp_path, "local")
    (tmp_path / "dev-token").unlink()
    second, created = development_token(store, tmp_path, "local")
    assert created
    for record in store.list():
        store.revoke(record.id)
    third, created = development_token(store, tmp_path, "local")
    assert created
    fourth, created = development_token(store, tmp_path, "other")
    assert created
    assert len({first, second, third, fourth}) == 4
    assert store.find(fourth) == Caller("other", WRITER.scopes)


def test_a_token_that_may_only_read_is_renewed(store: TokenStore, tmp_path: Path) -> None:
    (tmp_path / "dev-token").write_text(store.create("local", ["ai:read"])[1])
    assert development_token(store, tmp_path, "local")[1]


def test_starts_at_once_get_the_same_token(store: TokenStore, tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: development_token(store, tmp_path, "local"), range(8)))
    assert len({token for token, _ in results}) == 1
    assert sum(created for _, created in results) == 1
    assert len(store.list()) == 1


def test_a_folder_that_cannot_be_written_is_one_line(store: TokenStore, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(OperatorError, match="dev-token: Not a directory; the data directory"):
        development_token(store, tmp_path / "mine", "local")
    assert store.list() == []
