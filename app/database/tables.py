"""The tables. Statements elsewhere are SQLAlchemy Core, the same for SQLite and PostgreSQL.

Who changes a table adds a step to `app.database.migrations`.
"""

from typing import Final

from sqlalchemy import Boolean, Column, ColumnElement, Float, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

SCHEMA_VERSIONS: Final = Table(
    "schema_version",
    METADATA,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

PAGE_CODES: Final = Table(
    "page_codes",
    METADATA,
    Column("code_sha256", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False),  # seconds since 1970
)

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False, index=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("scopes", String(64), nullable=False),
    Column("created_at", String(32), nullable=False),
)

# Beside `tokens`, so that a database of before has it too; without a foreign key, so that revoking is one deletion.
TOKEN_USES: Final = Table(
    "token_uses",
    METADATA,
    Column("token_sha256", String(64), primary_key=True),
    Column("last_used_at", String(40), nullable=False),
)

TOKEN_NAMES: Final = Table(
    "token_names",
    METADATA,
    Column("token_id", String(36), primary_key=True),
    Column("name", String(64), nullable=False),
)

# PostgreSQL would sort names by the language of its cluster.
_SORTED_BY_BYTES: Final = String(64).with_variant(String(64, collation="C"), "postgresql")

ADAPTERS: Final = Table(
    "adapters",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("account_id", String(64), nullable=False),
    Column("name", _SORTED_BY_BYTES, nullable=False),
    Column("description", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("weights", Text, nullable=False),
    Column("public", Boolean, nullable=False),
    # One of those that `app.adapters.rows` explains.
    Column("state", String(16), nullable=False),
    # Whether it takes the place of the ready one of its name once it is ready.
    Column("replaces", Boolean, nullable=False),
    # Of the files as they were sent over the API; empty until they are in.
    Column("config_sha256", String(64), nullable=False),
    Column("weights_sha256", String(64), nullable=False),
    # One per line; empty unless refused.
    Column("findings", Text, nullable=False),
    # The name of the stored folder and the rank: empty and 0 until an inspection passed.
    Column("digest", String(64), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("modified_at", String(32), nullable=False),
    Index("ix_adapters_digest", "account_id", "digest"),
    Index("ix_adapters_name", "account_id", "name"),
)

CREATED: Final = "created"
CHECKING: Final = "checking"
REFUSED: Final = "refused"
ADDING: Final = "adding"
READY: Final = "ready"
REMOVING: Final = "removing"
"""The states of an adapter, which `app.adapters.rows` explains."""

PENDING: Final = (CREATED, CHECKING, REFUSED)
"""The states of an adapter that its account sees and that no request can use."""


def _one_name(index: str, where: ColumnElement[bool]) -> None:
    """An account has at most one adapter of a name among those."""
    columns = ADAPTERS.c.account_id, ADAPTERS.c.name
    Index(index, *columns, unique=True, sqlite_where=where, postgresql_where=where)


_one_name("uq_adapters_ready_name", ADAPTERS.c.state == READY)
_one_name("uq_adapters_pending_name", ADAPTERS.c.state.in_(PENDING))
