"""What a database can't do, as one line for a person, without statements, values and passwords."""

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import OperationalError

from app.errors import StorageError

PRIMARY_CODE_MASK: Final = 0xFF
NO_ROOM: Final = "its disk is full; free some room"
SQLITE_FAULTS: Mapping[int, str] = MappingProxyType(
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

POSTGRESQL_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "53100": NO_ROOM,
        "53300": "it has no connection left; raise its max_connections",
        "55P03": "another process holds what is wanted; try again",
        "57014": "another process holds what is wanted; try again",
        "25006": "it can't be written; give the address of the server that takes writes",
    }
)
"""What PostgreSQL's error codes mean to a person (postgresql.org/docs/15/errcodes-appendix.html)."""


def storage_fault(cause: BaseException | None) -> StorageError:
    """The error to raise in place of what the driver raised."""
    return StorageError(f"database: {_sqlite_reason(cause) or _postgresql_reason(cause) or _other(cause)}")


def raise_storage_faults(engine: Engine) -> None:
    """Make statements of `engine` raise `StorageError` for disk, locks, permissions and connections."""
    event.listen(engine, "handle_error", _raise_storage_fault)


def _raise_storage_fault(context: ExceptionContext) -> None:
    if context.is_pre_ping:
        return  # the pool asks whether a connection lives: it makes a new one, which may fail
    cause = context.original_exception
    # psycopg counts a server that takes no writes among its InternalErrors.
    if isinstance(context.sqlalchemy_exception, OperationalError) or _postgresql_reason(cause):
        raise storage_fault(cause) from cause


def _sqlite_reason(cause: BaseException | None) -> str | None:
    return SQLITE_FAULTS.get(getattr(cause, "sqlite_errorcode", 0) & PRIMARY_CODE_MASK)


def _postgresql_reason(cause: BaseException | None) -> str | None:
    return POSTGRESQL_FAULTS.get(getattr(cause, "sqlstate", None) or "")


def _other(cause: BaseException | None) -> str:
    reason = str(cause).partition("\n")[0]
    if hasattr(cause, "sqlstate"):
        return f"{reason}; check that PostgreSQL runs, and the database setting"
    return f"{reason}; check room and permissions of the data directory"
