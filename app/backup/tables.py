"""Which tables a database must have to be this program's: a backup without one would be an empty server."""

import sqlite3
from contextlib import closing
from pathlib import Path

from app.database.opening import complete
from app.database.tables import METADATA


def completed(database: Path) -> str | None:
    """Make a database file one of this version; the table or column that it lacks then, in words.

    Raises `sqlite3.Error`, `sqlalchemy.exc.SQLAlchemyError`, and `OperatorError` for one that can't be migrated.
    """
    complete(database)
    with closing(sqlite3.connect(database)) as connection:
        return _lack_of(connection)


def _lack_of(connection: sqlite3.Connection) -> str | None:
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in METADATA.sorted_tables:
        if table.name not in found:
            return f"no table {table.name}"
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        for column in table.columns:
            if column.name not in columns:
                return f"no column {column.name} in its table {table.name}"
    return None
