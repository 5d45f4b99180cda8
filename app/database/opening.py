"""How a database is opened: a file of SQLite's, or PostgreSQL."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from app.database.faults import raise_storage_faults, storage_fault
from app.database.migrations import SCHEMA_VERSION, bring_up_to_date, version_of
from app.database.transactions import exclusive
from app.errors import OperatorError, StorageError
from app.files import create_private_file, folder_lock, private_folder

log = logging.getLogger(__name__)

DATABASE_FILE: Final = "outworker.db"
BUSY_TIMEOUT_MS: Final = 5_000
LOG_PAGES: Final = 100
"""After so many pages of 4 KiB SQLite's log begins anew: it must stay smaller than what is kept back for a full disk."""

POSTGRESQL: Final = ("postgresql", "postgres", "postgresql+psycopg", "postgres+psycopg")
"""How a URL of PostgreSQL begins. All mean the one driver."""

ENCODING: Final = "UTF8"
CONNECT_TIMEOUT_S: Final = 5
WAIT_TIMEOUT_MS: Final = 5_000
SCHEMA: Final = "outworker's schema"
INSTALL_DRIVER: Final = 'install it: pip install "psycopg[binary]>=3.2,<4"'
WHAT_TO_WRITE: Final = "write sqlite:///path/to/file or postgresql://user@host/name"


def open_database(url: str | URL, before_migration: Callable[[], None] = lambda: None) -> Engine:
    """Connect to `url` (`sqlite:///path` or `postgresql://...`), with every table there.

    A database of an older version is migrated, after `before_migration`, which may refuse. Raises `OperatorError` when
    the URL, the file, the server or the schema's version is one that this program can't use.
    """
    address = _parse(url)
    path = _sqlite_path(address)
    try:
        if path is None:
            return _opened(address, before_migration)
        private_folder(path.parent)
        # The switch to the write-ahead log is not covered by the busy timeout in every SQLite.
        with folder_lock(path.parent):
            create_private_file(path)
            return _opened(address, before_migration)
    except OSError as error:
        raise OperatorError(
            f"database {_shown(address)}: {error.strerror}; choose a folder you may write to"
        ) from error
    except OperationalError as error:
        raise storage_fault(error.orig) from error
    except ModuleNotFoundError as error:
        raise OperatorError(
            f"database {_shown(address)}: the package psycopg is missing; {INSTALL_DRIVER}"
        ) from error
    except (DatabaseError, ArgumentError) as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise OperatorError(f"database {_shown(address)}: {reason}; check the database setting") from error


def check_url(url: str | URL) -> str | None:
    """What is wrong with `url`, in words for the person who wrote it; None when it can be tried."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # a port that is not a number
        return f"not a URL that can be used; {WHAT_TO_WRITE}"
    if address.drivername in POSTGRESQL and not address.database:
        return f"names no database; {WHAT_TO_WRITE}"
    if address.drivername not in (*POSTGRESQL, "sqlite"):
        return f"not a URL that can be used; {WHAT_TO_WRITE}"
    return None


def _parse(url: str | URL) -> URL:
    if fault := check_url(url):
        raise OperatorError(f"database: {fault}")
    address = make_url(url)
    return address.set(drivername="postgresql+psycopg") if address.drivername in POSTGRESQL else address


def _shown(address: URL) -> str:
    """The address without what may be secret in it."""
    return address.set(drivername=address.get_backend_name(), query={}).render_as_string(hide_password=True)


def _sqlite_path(address: URL) -> Path | None:
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database))


def _opened(address: URL, before_migration: Callable[[], None]) -> Engine:
    engine = _sqlite(address) if address.get_backend_name() == "sqlite" else _postgresql(address)
    try:
        _check_encoding(engine, _shown(address))
        _make_current(engine, _shown(address), before_migration)
    except (DatabaseError, OperatorError):
        engine.dispose()
        raise
    raise_storage_faults(engine)
    return engine


def _sqlite(address: URL) -> Engine:
    # An error's text goes into logs. Threads are bounded, and none waits for another's connection.
    engine = create_engine(address, hide_parameters=True, max_overflow=-1)
    event.listen(engine, "connect", _prepare_sqlite)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    except DatabaseError:
        engine.dispose()
        raise
    return engine


def _postgresql(address: URL) -> Engine:
    """Asks a connection whether it lives before using it, so that a restart of PostgreSQL costs no request."""
    wanted = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": f"-c lock_timeout={WAIT_TIMEOUT_MS}",
        "client_encoding": ENCODING,
    }
    arguments = {key: value for key, value in wanted.items() if key not in address.query}
    return create_engine(
        address, hide_parameters=True, max_overflow=-1, pool_pre_ping=True, connect_args=arguments
    )


def _check_encoding(engine: Engine, shown: str) -> None:
    """Raises `OperatorError` for a database of PostgreSQL's that can't keep every text."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if found != ENCODING:
            raise OperatorError(
                f"database {shown}: its encoding is {found}; make one with ENCODING '{ENCODING}' TEMPLATE template0"
            )


def _make_current(engine: Engine, shown: str, before_migration: Callable[[], None]) -> None:
    with engine.connect() as connection:
        found = version_of(connection)
    if found == SCHEMA_VERSION:
        return
    if found is not None and found < SCHEMA_VERSION:
        before_migration()
        log.info("database %s: from version %d to %d", shown, found, SCHEMA_VERSION)
    with exclusive(engine, SCHEMA) as connection:
        bring_up_to_date(connection, shown)


def complete(path: Path) -> None:
    """Make the SQLite file at `path` one of this version, and nothing else. Raises `sqlalchemy.exc.DatabaseError`."""
    engine = create_engine(URL.create("sqlite", database=str(path)))
    try:
        _make_current(engine, path.name, lambda: None)
    finally:
        engine.dispose()


def checkpoint(engine: Engine) -> None:
    """Bring all that is written into the one file, so that a copy of it alone is whole. The engine can be used on."""
    engine.dispose()
    if engine.dialect.name != "sqlite":
        return
    try:
        with engine.connect() as connection:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar_one()
    except StorageError as error:
        log.warning("%s", error)
        return
    finally:
        engine.dispose()  # the last connection of all takes the log away
    if busy:
        log.warning("another process uses the database: %s-wal belongs to it still", DATABASE_FILE)


def _prepare_sqlite(connection: DBAPIConnection, record: object) -> None:
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "foreign_keys=ON",
        "synchronous=NORMAL",
        f"wal_autocheckpoint={LOG_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
