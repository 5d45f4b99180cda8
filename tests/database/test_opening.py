import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, make_url, select, update
from sqlalchemy.schema import CreateIndex, CreateTable

from app.database.migrations import SCHEMA_VERSION
from app.database.opening import open_database
from app.database.tables import ADAPTERS, METADATA, SCHEMA_VERSIONS, TOKENS
from app.errors import OperatorError

ROOT = Path(__file__).parents[2]


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'deep' / 'outworker.db'}"


def test_file_and_folder_are_private(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))
    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700
    with engine.begin() as connection:
        connection.execute(update(SCHEMA_VERSIONS).values(version=SCHEMA_VERSION))
        for file in (tmp_path / "deep").iterdir():  # with the write-ahead log
            assert file.stat().st_mode & 0o777 == 0o600
    engine.dispose()


def test_every_connection_is_prepared(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            for pragma, value in (
                ("journal_mode", "wal"),
                ("busy_timeout", 5000),
                ("foreign_keys", 1),
                ("synchronous", 1),
            ):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
    engine.dispose()


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    first = open_database(url(tmp_path))
    tables = {"schema_version", "token_names", "token_uses", "tokens", "page_codes", "adapters"}
    assert set(inspect(first).get_table_names()) == tables
    with first.begin() as connection:
        connection.execute(
            TOKENS.insert().values(
                id="1", account_id="a", token_sha256="x", scopes="ai:read", created_at="now"
            )
        )
    second = open_database(url(tmp_path))
    with second.connect() as connection:
        assert connection.execute(select(TOKENS.c.id)).scalar_one() == "1"
    first.dispose()
    second.dispose()


OPEN = "import sys; from app.database.opening import open_database; sys.stdin.read(1); open_database(sys.argv[1])"


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, url(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:  # all have imported, or soon will have: let them go together
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    engine = open_database(url(tmp_path))
    with engine.connect() as connection:
        assert connection.execute(select(SCHEMA_VERSIONS.c.version)).scalars().all() == [SCHEMA_VERSION]
    engine.dispose()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    engine = open_database(url(tmp_path))
    with engine.begin() as connection:
        connection.execute(update(SCHEMA_VERSIONS).values(version=SCHEMA_VERSION + 1))
    engine.dispose()
    with pytest.raises(OperatorError, match=r"its schema is 3, newer than 2 .*; install") as refused:
        open_database(url(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("bad_url", "phrase"),
    [
        ("no url", "not a URL"),
        ("", "not a URL"),
        ("nosuchdatabase://x/y", "not a URL"),
        ("sqlite:////proc/nowhere/x.db", "choose a folder you may write to"),
    ],
)
def test_bad_urls_are_one_line(bad_url: str, phrase: str) -> None:
    with pytest.raises(OperatorError, match=phrase) as refused:
        open_database(bad_url)
    assert "\n" not in str(refused.value)


def test_a_missing_driver_is_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(OperatorError, match=r"postgresql://me:\*\*\*@host.* pip install") as refused:
        open_database("postgresql://me:secret@host/outworker?password=secret")
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "outworker.db").write_bytes(b"not a database at all, sorry" * 100)
    with pytest.raises(OperatorError, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path / 'outworker.db'}")


def test_the_schema_is_also_postgresqls() -> None:
    dialect = make_url("postgresql+psycopg://").get_dialect()()
    for table in METADATA.sorted_tables:
        assert str(CreateTable(table, if_not_exists=True).compile(dialect=dialect))
    (pending, ready) = sorted(str(index.name) for index in ADAPTERS.indexes if index.unique)
    made = {str(index.name): str(CreateIndex(index).compile(dialect=dialect)) for index in ADAPTERS.indexes}
    assert "WHERE state = 'ready'" in made[ready]
    assert "WHERE state IN ('created', 'checking', 'refused')" in made[pending]
