"""The adapters' rows in the database: statements, no files."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from app.database import ADAPTERS
from app.names import looks_like_id
from app.types import StoredAdapter

READY = "ready"
# A row in one of these is seen by nobody: its folder is about to come, or about to go.
ADDING = "adding"
REMOVING = "removing"

PUBLIC_ORDERS = ("created_at", "modified_at", "name")

AdapterRow = Row[tuple[object, ...]]


def insert_adding(connection: Connection, **columns: object) -> str:
    """Insert a row that isn't visible yet; its id, a new one unless `columns` has one.

    One of that id that is there already is what an earlier try left.
    """
    now = utc_now()
    row = {"id": str(uuid.uuid4()), "state": ADDING, "created_at": now, "modified_at": now, **columns}
    connection.execute(delete(ADAPTERS).where(ADAPTERS.c.id == row["id"], ADAPTERS.c.state == ADDING))
    connection.execute(insert(ADAPTERS).values(**row))
    return str(row["id"])


def set_state(connection: Connection, adapter_id: str, state: str) -> None:
    values = {"state": state, "modified_at": utc_now()}
    connection.execute(update(ADAPTERS).where(ADAPTERS.c.id == adapter_id).values(**values))


def delete_row(connection: Connection, adapter_id: str) -> None:
    connection.execute(delete(ADAPTERS).where(ADAPTERS.c.id == adapter_id))


def by_name(connection: Connection, account_id: str, name: str) -> AdapterRow | None:
    """The account's ready adapter of that name."""
    return _one(connection, and_(ADAPTERS.c.account_id == account_id, ADAPTERS.c.name == name))


def own(connection: Connection, account_id: str, id_or_name: str) -> AdapterRow | None:
    """The account's ready adapter with that id or name. A name is never a uuid, so there is at most one."""
    return _one(connection, _own(account_id, id_or_name))


def usable(connection: Connection, account_id: str, id_or_name: str) -> AdapterRow | None:
    """As `own`, and adapters that other accounts made public, these by id only."""
    public = and_(ADAPTERS.c.public, ADAPTERS.c.id == _as_id(id_or_name))
    return _one(connection, or_(_own(account_id, id_or_name), public))


def ready(connection: Connection, account_id: str) -> list[AdapterRow]:
    """The account's ready adapters, oldest first."""
    query = select(ADAPTERS).where(ADAPTERS.c.account_id == account_id, ADAPTERS.c.state == READY)
    return list(connection.execute(query.order_by(ADAPTERS.c.created_at, ADAPTERS.c.name)).all())


def public(connection: Connection, order_by: str, limit: int, offset: int) -> list[AdapterRow]:
    """Every account's ready adapters that are public, by one of the columns of `PUBLIC_ORDERS`."""
    query = select(ADAPTERS).where(ADAPTERS.c.public, ADAPTERS.c.state == READY)
    query = query.order_by(ADAPTERS.c[order_by], ADAPTERS.c.id).limit(limit).offset(offset)
    return list(connection.execute(query).all())


def count_ready(connection: Connection, account_id: str) -> int:
    query = select(func.count()).where(ADAPTERS.c.account_id == account_id, ADAPTERS.c.state == READY)
    return connection.execute(query).scalar_one()


def digests(connection: Connection) -> frozenset[str]:
    return frozenset(connection.execute(select(ADAPTERS.c.digest)).scalars())


def unfinished(connection: Connection) -> list[AdapterRow]:
    """Rows whose process ended between the row and the folder."""
    query = select(ADAPTERS).where(ADAPTERS.c.state.in_((ADDING, REMOVING)))
    return list(connection.execute(query).all())


def is_last_of_digest(connection: Connection, row: AdapterRow) -> bool:
    """Whether no other row of the account needs this row's folder."""
    others = and_(
        ADAPTERS.c.account_id == row.account_id, ADAPTERS.c.digest == row.digest, ADAPTERS.c.id != row.id
    )
    return connection.execute(select(func.count()).where(others)).scalar_one() == 0


def to_adapter(row: AdapterRow, folder: Path) -> StoredAdapter:
    return StoredAdapter(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        model=row.model,
        weights=row.weights,
        digest=row.digest,
        folder=folder,
        rank=row.rank,
        description=row.description,
        public=row.public,
        created_at=row.created_at,
        modified_at=row.modified_at,
    )


def utc_now() -> str:
    """ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _own(account_id: str, id_or_name: str) -> ColumnElement[bool]:
    named = or_(ADAPTERS.c.name == id_or_name, ADAPTERS.c.id == _as_id(id_or_name))
    return and_(ADAPTERS.c.account_id == account_id, named)


def _as_id(text: str) -> str:
    return str(uuid.UUID(text)) if looks_like_id(text) else text


def _one(connection: Connection, condition: ColumnElement[bool]) -> AdapterRow | None:
    return connection.execute(select(ADAPTERS).where(ADAPTERS.c.state == READY, condition)).first()
