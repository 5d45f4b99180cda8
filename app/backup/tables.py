"""Which tables a database must have to be this program's: a backup without one would be an empty server."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table

from app.database import METADATA, PAGE_CODES, TOKEN_NAMES, TOKEN_USES, complete

YOUNGER = (PAGE_CODES, TOKEN_NAMES, TOKEN_USES)
"""A database that no program since has opened lacks them, and loses nothing when they are made."""


def complete_copy(database: Path) -> str | None:
    """Make the tables that a database of before lacks; what it must have and has not, else. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(database)) as connection:
        older = [table for table in METADATA.sorted_tables if table not in YOUNGER]
        lack = _lack(connection, older)
    if lack is None:
        complete(database)
    return lack


def lack_of(connection: sqlite3.Connection) -> str | None:
    """The first table or column that is not there, in words. Raises `sqlite3.Error`."""
    return _lack(connection, METADATA.sorted_tables)


def _lack(connection: sqlite3.Connection, tables: Iterable[Table]) -> str | None:
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in tables:
        if table.name not in found:
            return f"no table {table.name}"
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        for column in table.columns:
            if column.name not in columns:
                return f"no column {column.name} in its table {table.name}"
    return None
