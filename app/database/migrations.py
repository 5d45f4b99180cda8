"""How a database of an older version becomes one of this version: numbered steps, all in one transaction.

Step n makes version n out of version n - 1. A step that was released is never changed: the next one mends it. Both
databases undo a transaction that was interrupted, so a killed migration leaves the old version whole.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, delete, insert, inspect, select, text
from sqlalchemy.schema import CreateIndex, CreateTable

from app.database.tables import METADATA, SCHEMA_VERSIONS
from app.errors import OperatorError

NO_VERSION: Final = 0
FIRST_VERSION: Final = 1
FIRST_TABLES: Final = ("adapters", "drafts", "tokens")
"""What every database of the first version has. Its other tables came without a step."""


def _adapters_in_one_table(connection: Connection) -> None:
    """Version 2: what was in `drafts` is in `adapters` too, with a state, and `drafts` is gone."""
    for statement in (
        "ALTER TABLE adapters ADD COLUMN replaces BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE adapters ADD COLUMN config_sha256 VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE adapters ADD COLUMN weights_sha256 VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE adapters ADD COLUMN findings TEXT NOT NULL DEFAULT ''",
        # A draft's id goes to its adapter. Where its process was killed between both, it is checked again, and what was
        # begun for its folder is still known.
        """
        UPDATE adapters SET
            state = 'checking',
            replaces = (SELECT replaces FROM drafts WHERE drafts.id = adapters.id),
            config_sha256 = (SELECT config_sha256 FROM drafts WHERE drafts.id = adapters.id),
            weights_sha256 = (SELECT weights_sha256 FROM drafts WHERE drafts.id = adapters.id)
        WHERE state = 'adding' AND id IN (SELECT id FROM drafts)
        """,
        "DELETE FROM drafts WHERE id IN (SELECT id FROM adapters)",
        """
        INSERT INTO adapters (
            id, account_id, name, description, model, weights, public, replaces, state,
            config_sha256, weights_sha256, findings, digest, rank, created_at, modified_at
        )
        SELECT
            id, account_id, name, description, model, weights, public, replaces,
            CASE
                WHEN findings <> '' THEN 'refused'
                WHEN config_sha256 <> '' AND weights_sha256 <> '' THEN 'checking'
                ELSE 'created'
            END,
            config_sha256, weights_sha256, findings, '', 0, created_at, modified_at
        FROM drafts
        """,
        "DROP TABLE drafts",
    ):
        connection.execute(text(statement))


STEPS: Final[Mapping[int, Callable[[Connection], None]]] = MappingProxyType({2: _adapters_in_one_table})
SCHEMA_VERSION: Final = max(STEPS)


def version_of(connection: Connection) -> int | None:
    """The schema's version; None in a database that does not say one."""
    if not inspect(connection).has_table(SCHEMA_VERSIONS.name):
        return None
    version: object = connection.scalar(select(SCHEMA_VERSIONS.c.version))
    if version is None:
        return (
            FIRST_VERSION  # its program noted it after the tables were made, and may have been killed between
        )
    return version if isinstance(version, int) else NO_VERSION  # SQLite keeps any type in any column


def bring_up_to_date(connection: Connection, shown: str) -> None:
    """Make every table, out of older ones where there are any. Call in a transaction that holds the schema.

    Raises `OperatorError` for a newer version, and for tables that are no version's; `shown` names the database.
    """
    found = version_of(connection)
    if found == SCHEMA_VERSION:
        return
    if fault := _fault(found, inspect(connection).get_table_names()):
        raise OperatorError(f"database {shown}: {fault}")
    for version in range(found or SCHEMA_VERSION, SCHEMA_VERSION):
        STEPS[version + 1](connection)
    _create_missing(connection)
    connection.execute(delete(SCHEMA_VERSIONS))
    connection.execute(insert(SCHEMA_VERSIONS).values(only=1, version=SCHEMA_VERSION))


def _fault(found: int | None, tables: Collection[str]) -> str | None:
    """Why a database can't be brought up to date: empty tables must not take the place of lost ones."""
    if found is None:
        strange = f"has no table {SCHEMA_VERSIONS.name}" if set(METADATA.tables) & set(tables) else None
    elif found > SCHEMA_VERSION:
        return (
            f"its schema is {found}, newer than {SCHEMA_VERSION} which this program knows; install the newer program "
            "or set another data directory"
        )
    elif found < FIRST_VERSION:
        strange = f"its schema is {found}"
    else:
        strange = next((f"has no table {name}" for name in FIRST_TABLES if name not in tables), None)
    return (
        f"{strange}; it is not a database of this program, or damaged: restore a backup" if strange else None
    )


def _create_missing(connection: Connection) -> None:
    """Tables that have come without a step: they lack in an older database and lose nothing when they are made."""
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            connection.execute(CreateIndex(index, if_not_exists=True))
