"""`outworker serve` and the commands over PostgreSQL, as a person sets it in the environment."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.settings import CHECKOUT
from tests.live.server import LiveServer, outworker
from tests.postgresql import PostgreSql

FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"
FINETUNES = "/client/v4/accounts/local/ai/finetunes"


@pytest.fixture
def url(postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> str:
    url = postgresql.url()
    monkeypatch.setenv("OUTWORKER_DATABASE", url)
    return url


@pytest.fixture
def server(tmp_path: Path, url: str) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    yield server
    server.stop()


def test_tokens_and_adapters_are_kept_over_a_restart(server: LiveServer) -> None:
    data_dir = server.data_dir
    made = outworker(
        "token", "create", "--account", "team", "--new-account", "--scope", "ai:read", data_dir=data_dir
    )
    assert made.returncode == 0, made.stderr
    assert not (data_dir / "outworker.db").exists()
    examples = {adapter["name"]: adapter for adapter in server.client.get(FINETUNES).json()["result"]}
    assert set(examples) == {"json", "pirate"}
    assert {adapter["state"] for adapter in examples.values()} == {"ready"}
    assert server.stop() == 0
    again = LiveServer(data_dir, FAKE).start().wait_ready()
    try:
        kept = {adapter["name"]: adapter for adapter in again.client.get(FINETUNES).json()["result"]}
        assert kept == examples
        answer = again.run({"prompt": "Hello", "lora": "pirate"})
        assert answer.status_code == 200, answer.text
        listed = outworker("token", "list", data_dir=data_dir).stdout
        assert "team" in listed
        removed = outworker("adapter", "rm", "pirate", data_dir=data_dir)
        assert removed.returncode == 0, removed.stderr
        assert [adapter["name"] for adapter in again.client.get(FINETUNES).json()["result"]] == ["json"]
    finally:
        again.stop()


def test_a_server_goes_on_when_its_database_was_away(server: LiveServer, postgresql: PostgreSql) -> None:
    postgresql.stop()
    try:
        away = server.client.get(FINETUNES)
        assert away.status_code >= 500
        assert "PostgreSQL" not in away.text
        assert "Traceback" not in away.text
    finally:
        postgresql.start()
    assert server.client.get(FINETUNES).status_code == 200


def test_a_backup_says_what_to_use_instead(tmp_path: Path, url: str) -> None:
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        refused = outworker(command, str(tmp_path / "saved"), data_dir=tmp_path / "data")
        assert refused.returncode == 2
        assert tool in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "saved").exists()


def test_a_database_that_is_away_is_one_line_at_the_start(tmp_path: Path) -> None:
    environment = {"OUTWORKER_DATABASE": "postgresql://me:secret@127.0.0.1:1/outworker"}
    refused = outworker("serve", "--config", str(FAKE), data_dir=tmp_path / "data", PORT="0", **environment)
    assert refused.returncode == 2
    assert "Connection refused; check that PostgreSQL runs" in refused.stdout + refused.stderr
    assert "secret" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (
            "mysql://me:secret@127.0.0.1/outworker",
            'environment: OUTWORKER_DATABASE: expected "sqlite" or postgresql://user@host/name',
        ),
        (
            "postgresql://me:of/secret@127.0.0.1/outworker",
            'environment: OUTWORKER_DATABASE: expected "sqlite" or postgresql://user@host/name',
        ),
        ("postgresql://me:secret@127.0.0.1:port/outworker", "database: not a URL that can be used; write"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(
    tmp_path: Path, address: str, said: str
) -> None:
    refused = outworker("token", "list", data_dir=tmp_path / "data", OUTWORKER_DATABASE=address)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"outworker: {said}")
    assert refused.stderr.count("\n") == 1
    assert "secret" not in refused.stderr


def test_the_default_is_a_file(tmp_path: Path) -> None:
    assert outworker("token", "list", data_dir=tmp_path / "data").returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "outworker.db")) as database:
        assert database.execute("SELECT version FROM schema_version").fetchall() == [(2,)]
