"""A transaction that no other about the same thing overlaps: what it reads stays true until its end."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select


@contextmanager
def exclusive(engine: Engine, about: str) -> Iterator[Connection]:
    """A transaction about `about`, such as an account's id. It begins when another about the same has ended.

    SQLite has one lock for everything. Raises `StorageError` when that takes too long.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(about, 0))))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
