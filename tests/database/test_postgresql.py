"""app.database with PostgreSQL: first starts at once, a server that is away, and addresses that can't be used."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from app.accounts.tokens import TokenStore
from app.database.migrations import SCHEMA_VERSION
from app.database.opening import open_database
from app.database.tables import SCHEMA_VERSIONS
from app.database.transactions import exclusive
from app.errors import OperatorError, StorageError
from tests.postgresql import PostgreSql

ROOT = Path(__file__).parents[2]
OPEN = "import sys; from app.database.opening import open_database as o; sys.stdin.read(1); o(sys.argv[1]).dispose()"


@pytest.mark.soak
def test_many_may_open_a_new_database_at_once(postgresql: PostgreSql, times: Callable[[int], int]) -> None:
    for _ in range(times(40)):
        url = postgresql.url()
        processes = [
            subprocess.Popen([sys.executable, "-c", OPEN, url], cwd=ROOT, stdin=subprocess.PIPE)
            for _ in range(6)
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"x")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=60)
        assert [process.returncode for process in processes] == [0] * 6
        engine = open_database(url)
        with engine.connect() as connection:
            assert connection.execute(select(SCHEMA_VERSIONS.c.version)).scalars().all() == [SCHEMA_VERSION]
        engine.dispose()


def test_threads_may_open_a_new_database_at_once(postgresql: PostgreSql) -> None:
    url = postgresql.url()
    with ThreadPoolExecutor(16) as threads:
        engines = list(threads.map(lambda _: open_database(url), range(16)))
    for engine in engines:
        engine.dispose()


def test_a_restart_costs_no_statement_after_it(postgresql: PostgreSql) -> None:
    engine = open_database(postgresql.url())
    tokens = TokenStore(engine)
    _, token = tokens.create("acme", ["ai:read"])
    postgresql.stop()
    try:
        with pytest.raises(StorageError, match=r"^database: .*; check that PostgreSQL runs") as away:
            tokens.find(token)
    finally:
        postgresql.start()
    assert "\n" not in str(away.value)
    assert token not in str(away.value)
    assert tokens.find(token) is not None
    engine.dispose()


def test_a_restart_that_nobody_saw_costs_no_statement(postgresql: PostgreSql) -> None:
    """The connections in the pool are dead and are not known to be."""
    engine = open_database(postgresql.url())
    tokens = TokenStore(engine)
    _, token = tokens.create("acme", ["ai:read"])
    postgresql.stop()
    postgresql.start()
    assert tokens.find(token) is not None
    engine.dispose()


def test_a_server_that_takes_no_writes_is_one_line(postgresql: PostgreSql) -> None:
    url = postgresql.url()
    open_database(url).dispose()
    postgresql.admin(f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on")
    engine = open_database(url)
    with pytest.raises(StorageError, match="it can't be written; give the address of the server that takes"):
        TokenStore(engine).create("acme", ["ai:read"])
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "phrase"),
    [
        ("postgresql://me:secret@127.0.0.1:1/outworker", "Connection refused; check that PostgreSQL runs"),
        ("postgresql://me:secret@/outworker?host=/nowhere", "check that PostgreSQL runs"),
        ("postgresql://me:secret@127.0.0.1:x/outworker", "not a URL"),
        ("postgresql://me:secret@127.0.0.1/", "names no database; write"),
        ("postgresql+psycopg2://me:secret@127.0.0.1/outworker", "not a URL"),
        ("mysql://me:secret@127.0.0.1/outworker", "not a URL"),
        ("postgres+psycopg://me:secret@127.0.0.1:1/outworker", "Connection refused"),
        (
            "postgresql://me:secret@127.0.0.1:1/outworker?plugin=none",
            "plugins:none; check the database setting",
        ),
    ],
)
def test_what_cannot_be_reached_is_one_line_without_the_password(url: str, phrase: str) -> None:
    with pytest.raises(OperatorError, match=phrase) as refused:
        open_database(url)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_text_is_refused(postgresql: PostgreSql, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    postgresql.admin(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(OperatorError, match=f"its encoding is {encoding}; make one with ENCODING 'UTF8'"):
        open_database(postgresql.url_of(name))


def test_the_environment_does_not_choose_the_encoding(
    postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    engine = open_database(postgresql.url())
    TokenStore(engine).create("acme", ["ai:read"], "日本")
    engine.dispose()


def test_a_database_that_is_not_there_is_one_line(postgresql: PostgreSql) -> None:
    with pytest.raises(OperatorError, match='"nowhere" does not exist'):
        open_database(postgresql.url_of("nowhere"))


def test_another_program_s_tables_are_left_alone(postgresql: PostgreSql) -> None:
    url = postgresql.url()
    name = url.partition("@/")[2].partition("?")[0]
    postgresql.admin("CREATE TABLE tokens (mine int)", name)
    with pytest.raises(
        OperatorError, match="has no table schema_version; it is not a database of this program"
    ):
        open_database(url)


def test_transactions_about_one_thing_follow_each_other(postgresql: PostgreSql) -> None:
    """And those about others do not wait."""
    engine = open_database(postgresql.url())
    with ThreadPoolExecutor(2) as threads, exclusive(engine, "acme"):
        with exclusive(engine, "beta"):
            pass

        def same() -> None:
            with exclusive(engine, "acme"):
                pass

        with pytest.raises(StorageError, match="another process holds what is wanted; try again"):
            threads.submit(same).result(timeout=30)
    engine.dispose()
