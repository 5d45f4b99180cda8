"""The database: its tables, and how it is opened.

Statements elsewhere are SQLAlchemy Core without SQLite's own SQL, so that a PostgreSQL URL is a setting.
"""

import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

from app.errors import OperatorError, StorageError
from app.files import create_private_file, folder_lock, private_folder

log = logging.getLogger(__name__)

DATABASE_FILE: Final = "outworker.db"
SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5_000
LOG_PAGES: Final = 100
"""After so many pages of 4 KiB SQLite's log begins anew: it must stay smaller than what is kept back for a full disk."""
PRIMARY_CODE_MASK: Final = 0xFF
NO_ROOM: Final = "its disk is full; free some room"
FAULTS: Mapping[int, str] = MappingProxyType(
    {
        sqlite3.SQLITE_FULL: NO_ROOM,
        sqlite3.SQLITE_IOERR: f"its disk can't be used, or {NO_ROOM}",
        sqlite3.SQLITE_CANTOPEN: f"it can't be opened, or {NO_ROOM}",
        sqlite3.SQLITE_BUSY: "another process holds it; try again",
        sqlite3.SQLITE_LOCKED: "another process holds it; try again",
        sqlite3.SQLITE_READONLY: "it can't be written; check the permissions of the data directory",
    }
)
"""What SQLite's primary result codes mean to a person (sqlite.org/rescode.html)."""

METADATA = MetaData()

SCHEMA_VERSIONS = Table(
    "schema_version",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

PAGE_CODES = Table(
    "page_codes",
    METADATA,
    Column("code_sha256", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False),  # seconds since 1970
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False, index=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("scopes", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
)

# Beside `tokens`, so that a database of before has it too; without a foreign key, so that revoking is one deletion.
TOKEN_USES = Table(
    "token_uses",
    METADATA,
    Column("token_sha256", String(64), primary_key=True),
    Column("last_used_at", String(40), nullable=False),
)

TOKEN_NAMES = Table(
    "token_names",
    METADATA,
    Column("token_id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
)

ADAPTERS = Table(
    "adapters",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("weights", Text, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("modified_at", String(32), nullable=False),
    Index("ix_adapters_digest", "account_id", "digest"),
    Index("ix_adapters_name", "account_id", "name"),
)
# Adapters that are not ready: unfinished while an asset is missing, refused when there are findings. One row moves to
# `adapters`, with its id, in the transaction that makes it ready.
DRAFTS = Table(
    "drafts",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("description", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("weights", Text, nullable=False),
    Column("public", Boolean, nullable=False),
    Column("replaces", Boolean, nullable=False),
    # Empty until the asset is in.
    Column("config_sha256", String(64), nullable=False),
    Column("weights_sha256", String(64), nullable=False),
    # One per line; empty unless refused.
    Column("findings", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("modified_at", String(32), nullable=False),
    Index("uq_drafts_name", "account_id", "name", unique=True),
)

# Only ready adapters own their name: one that was refused or never finished must not block it.
Index(
    "uq_adapters_ready_name",
    ADAPTERS.c.account_id,
    ADAPTERS.c.name,
    unique=True,
    sqlite_where=ADAPTERS.c.state == "ready",
    postgresql_where=ADAPTERS.c.state == "ready",
)


def open_database(url: str) -> Engine:
    """Connect to `url` (`sqlite:///path` or `postgresql://...`), with every table there.

    Raises `OperatorError` when the URL, the file or the schema's version is one that this program can't use.
    """
    address = _parse(url)
    path = _sqlite_path(address)
    try:
        if path is None:
            return _opened(address)
        private_folder(path.parent)
        # The switch to the write-ahead log is not covered by the busy timeout in every SQLite.
        with folder_lock(path.parent):
            create_private_file(path)
            return _opened(address)
    except OSError as error:
        raise OperatorError(
            f"database {_shown(address)}: {error.strerror}; choose a folder you may write to"
        ) from error
    except OperationalError as error:
        raise storage_fault(error.orig) from error
    except (DatabaseError, ModuleNotFoundError) as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise OperatorError(f"database {_shown(address)}: {reason}; check the database setting") from error


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError) as error:
        raise OperatorError(
            "database: not a URL that can be used; write sqlite:///path/to/file or postgresql://..."
        ) from error
    return address


def _shown(address: URL) -> str:
    return address.render_as_string(hide_password=True)


def _sqlite_path(address: URL) -> Path | None:
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database))


def _opened(address: URL) -> Engine:
    sqlite = address.get_backend_name() == "sqlite"
    # An error's text goes into logs. Threads are bounded, and none waits for another's connection.
    engine = create_engine(address, hide_parameters=True, max_overflow=-1)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
    try:
        if sqlite:
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        _create_schema(engine)
        _check_version(engine, _shown(address))
    except (DatabaseError, OperatorError):
        engine.dispose()
        raise
    event.listen(engine, "handle_error", _raise_storage_fault)
    return engine


def complete(path: Path) -> None:
    """Make what tables the SQLite file at `path` lacks, and nothing else. Raises `sqlalchemy.exc.DatabaseError`."""
    engine = create_engine(URL.create("sqlite", database=str(path)))
    try:
        _create_schema(engine)
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


def storage_fault(cause: BaseException | None) -> StorageError:
    """What a database can't do, as one line without statements and values."""
    code = getattr(cause, "sqlite_errorcode", 0) & PRIMARY_CODE_MASK
    reason = FAULTS.get(code, f"{cause}; check room and permissions of the data directory")
    return StorageError(f"database: {reason}")


def _raise_storage_fault(context: ExceptionContext) -> None:
    """Raises `StorageError` in place of what the driver says about disk, locks and permissions."""
    if isinstance(context.sqlalchemy_exception, OperationalError):
        raise storage_fault(context.original_exception) from context.original_exception


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


def _create_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(CreateIndex(index, if_not_exists=True))


def _check_version(engine: Engine, shown: str) -> None:
    try:
        with engine.begin() as connection:
            found = _version(connection)
            if found is None:
                connection.execute(insert(SCHEMA_VERSIONS).values(only=1, version=SCHEMA_VERSION))
                return
    except IntegrityError:  # another process wrote it between our look and our write
        with engine.connect() as connection:
            found = _version(connection)
    if found is None or found > SCHEMA_VERSION:
        raise OperatorError(
            f"database {shown}: its schema is {found}, newer than {SCHEMA_VERSION} which this program knows; "
            "install the newer program or set another data directory"
        )


def _version(connection: Connection) -> int | None:
    version: int | None = connection.scalar(select(SCHEMA_VERSIONS.c.version))
    return version
