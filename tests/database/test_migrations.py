"""app.database.migrations: an older database becomes one of this version, whole or not at all."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, select

from app.adapters.lifecycle import Finetunes
from app.adapters.local_blobs import LocalBlobs
from app.adapters.maintenance import tend_once
from app.adapters.store import AdapterStore
from app.data_dir.server_lock import ServerLock
from app.database.migrations import SCHEMA_VERSION, STEPS
from app.database.opening import open_database
from app.database.tables import METADATA, SCHEMA_VERSIONS
from app.errors import OperatorError
from app.server.stores import stores_of
from app.settings import load_settings
from tests.adapters.make import TINY
from tests.database.old_data import OLD_DATA_DIR, assert_finetunes, assert_old_data, old_data_dir
from tests.postgresql import PostgreSql

ROOT = Path(__file__).parents[2]


def url(data_dir: Path) -> str:
    return f"sqlite:///{data_dir / 'outworker.db'}"


def version(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.execute(select(SCHEMA_VERSIONS.c.version)).scalars())


def test_the_steps_have_every_number() -> None:
    assert list(STEPS) == list(range(2, SCHEMA_VERSION + 1))


def test_all_of_an_older_data_directory_is_kept(tmp_path: Path) -> None:
    data_dir = old_data_dir(tmp_path / "old")
    database = open_database(url(data_dir))
    assert version(database) == [SCHEMA_VERSION]
    assert_old_data(database)
    assert_finetunes(AdapterStore(database, LocalBlobs(data_dir / "adapters")))
    database.dispose()


def test_what_was_begun_before_is_ended_after(tmp_path: Path) -> None:
    data_dir = old_data_dir(tmp_path / "old")
    database = open_database(url(data_dir))
    store = AdapterStore(database, LocalBlobs(data_dir / "adapters"))
    before = store.find("acme", "one")
    tend_once(Finetunes(store), {"stand-in": lambda: TINY})
    ready = {adapter.name: adapter for adapter in store.list("acme")}
    assert set(ready) == {"one", "promoted"}
    assert before is not None
    assert ready["one"].digest != before.digest
    folders = {path.name for path in (data_dir / "adapters" / "acme").iterdir()}
    assert folders == {adapter.digest for adapter in ready.values()}
    database.dispose()


Columns = dict[str, tuple[str, bool]]
Indexes = set[tuple[object, ...]]


def shape(engine: Engine) -> dict[str, tuple[Columns, Indexes]]:
    found = inspect(engine)
    return {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(name)},
            {(index["name"], *index["column_names"], index["unique"]) for index in found.get_indexes(name)},
        )
        for name in found.get_table_names()
    }


def test_a_migrated_schema_is_that_of_a_new_one(tmp_path: Path) -> None:
    migrated = open_database(url(old_data_dir(tmp_path / "old")))
    new = open_database(url(tmp_path / "new"))
    assert shape(migrated) == shape(new)
    migrated.dispose()
    new.dispose()


def test_postgresql_takes_the_same_steps(postgresql: PostgreSql) -> None:
    address = postgresql.url()
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with (
        engine.begin() as connection,
        closing(sqlite3.connect(OLD_DATA_DIR / "outworker.db")) as old,
    ):
        copy_all(old, connection)
    engine.dispose()
    migrated, new = open_database(address), open_database(postgresql.url())
    assert version(migrated) == [SCHEMA_VERSION]
    assert_old_data(migrated)
    tables = shape(migrated)
    assert set(tables) == set(METADATA.tables)
    assert {name: index for name, (_, index) in tables.items()} == {
        name: index for name, (_, index) in shape(new).items()
    }
    migrated.dispose()
    new.dispose()


def copy_all(old: sqlite3.Connection, connection: Connection) -> None:
    """Tables, indexes and rows of the first version, as its program would have made them here."""
    made = old.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC")
    for kind, name, sql in made.fetchall():
        connection.exec_driver_sql(re.sub(r"\bonly\b", '"only"', sql))  # a word of PostgreSQL's own
        if kind == "table":
            cursor = old.execute(f"SELECT * FROM {name}")
            columns = [column for column, *_ in cursor.description]
            marks = [
                f"%s{'::int::boolean' if column in ('public', 'replaces') else ''}" for column in columns
            ]
            for row in cursor.fetchall():
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({', '.join(marks)})", tuple(row))


KILLED_AT_EACH_STATEMENT = """
import os, shutil, signal, sys
from pathlib import Path
from sqlalchemy import Engine, event
from app.database.opening import open_database
source, copies = Path(sys.argv[1]), Path(sys.argv[2])
for number in range(1000):
    copy = copies / str(number)
    copy.mkdir()
    shutil.copy(source / "outworker.db", copy)
    child = os.fork()
    if child == 0:
        left = [number]
        def count(*_):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
        event.listen(Engine, "before_cursor_execute", count)
        open_database(f"sqlite:///{copy / 'outworker.db'}")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status == 0:
        print(number)
        break
"""


def test_a_migration_that_is_killed_anywhere_is_done_again(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    arguments = [sys.executable, "-c", KILLED_AT_EACH_STATEMENT, str(OLD_DATA_DIR), str(copies)]
    result = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=120)
    kills = int(result.stdout)
    assert kills > 20
    for number in range(kills):
        with closing(sqlite3.connect(copies / str(number) / "outworker.db")) as killed:
            assert killed.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
            assert killed.execute("SELECT count(*) FROM drafts").fetchone() == (5,)
        database = open_database(url(copies / str(number)))
        assert version(database) == [SCHEMA_VERSION]
        assert_old_data(database)
        database.dispose()


@pytest.mark.parametrize("lost", ["tokens", "drafts", "adapters", "schema_version"])
def test_a_lost_table_is_not_made_anew(tmp_path: Path, lost: str) -> None:
    data_dir = old_data_dir(tmp_path / "old")
    with closing(sqlite3.connect(data_dir / "outworker.db")) as database:
        database.execute(f"DROP TABLE {lost}")
    before = (data_dir / "outworker.db").read_bytes()
    with pytest.raises(OperatorError, match=f"has no table {lost}; .* restore a backup") as refused:
        open_database(url(data_dir))
    assert "\n" not in str(refused.value)
    with closing(sqlite3.connect(data_dir / "outworker.db")) as database:
        assert lost not in str(database.execute("SELECT name FROM sqlite_master").fetchall())
    assert len(before) == (data_dir / "outworker.db").stat().st_size


@pytest.mark.parametrize("version", ["'newest'", "0", "-1", "1.5", "x'00'"])
def test_a_version_that_is_none_is_one_line(tmp_path: Path, version: str) -> None:
    data_dir = old_data_dir(tmp_path / "old")
    with closing(sqlite3.connect(data_dir / "outworker.db")) as database, database:
        database.execute(f"UPDATE schema_version SET version = {version}")
    with pytest.raises(
        OperatorError, match=r"its schema is .*; it is not a database of this program"
    ) as refused:
        open_database(url(data_dir))
    assert "\n" not in str(refused.value)


def test_a_command_does_not_migrate_under_an_older_server(tmp_path: Path) -> None:
    data_dir = old_data_dir(tmp_path / "old")
    settings = load_settings(None, None, {**os.environ, "OUTWORKER_DATA_DIR": str(data_dir)})
    held = ServerLock.take(data_dir)
    with pytest.raises(OperatorError, match=r"older version.* stop the server, then try again"):
        stores_of(settings)
    with closing(sqlite3.connect(data_dir / "outworker.db")) as database:
        assert database.execute("SELECT version FROM schema_version").fetchall() == [(1,)]
    stores_of(settings, is_server=True).database.dispose()
    held.release()
