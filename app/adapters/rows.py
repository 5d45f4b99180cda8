"""The adapters' rows in the database: statements, no files. `state` says where in its life an adapter is.

    created    an asset is missing
    checking   both assets are in; somebody inspects them, or will when a server starts
    refused    the inspection has findings
    adding     seen by nobody: its folder is about to come
    ready      requests may name it
    removing   seen by nobody: its folder is about to go

A change names the state that it is made in, so of two at once one is made. The unique indexes keep an account from two
ready adapters of a name, and from two that are not ready.
"""

import uuid
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, insert, or_, select, update

from app.database.tables import ADAPTERS, ADDING, CHECKING, CREATED, PENDING, READY, REFUSED, REMOVING
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.names import looks_like_id

VISIBLE: Final = (READY, *PENDING)

PUBLIC_ORDERS: Final = ("created_at", "modified_at", "name")
ASSET_COLUMNS: Final = {CONFIG_FILE: ADAPTERS.c.config_sha256, WEIGHTS_FILE: ADAPTERS.c.weights_sha256}

EMPTY: Final = {
    "replaces": False,
    "config_sha256": "",
    "weights_sha256": "",
    "findings": "",
    "digest": "",
    "rank": 0,
}

AdapterRow = Row[tuple[object, ...]]


def insert_row(connection: Connection, state: str, **columns: object) -> str:
    """Insert an adapter in `state`; its new id."""
    adapter_id, now = str(uuid.uuid4()), utc_now()
    values = {**EMPTY, "id": adapter_id, "state": state, "created_at": now, "modified_at": now, **columns}
    connection.execute(insert(ADAPTERS).values(**values))
    return adapter_id


def change(connection: Connection, adapter_id: str, in_state: str, **columns: object) -> bool:
    """Whether the adapter was in that state, and is changed."""
    where = ADAPTERS.c.id == adapter_id, ADAPTERS.c.state == in_state
    values = {"modified_at": utc_now(), **columns}
    return connection.execute(update(ADAPTERS).where(*where).values(**values)).rowcount == 1


def put_asset(connection: Connection, adapter_id: str, file_name: str, sha256: str) -> bool:
    """Note that an asset is in; with the other one in too the adapter is `checking`. Whether it took assets."""
    mine = ASSET_COLUMNS[file_name]
    (other,) = (column for column in ASSET_COLUMNS.values() if column is not mine)
    state = case((other != "", CHECKING), else_=CREATED)
    return change(connection, adapter_id, CREATED, state=state, **{mine.name: sha256})


def delete_row(connection: Connection, adapter_id: str, states: Collection[str] = (ADDING, REMOVING)) -> bool:
    """Whether the adapter was there, in one of those states."""
    where = ADAPTERS.c.id == adapter_id, ADAPTERS.c.state.in_(states)
    return connection.execute(delete(ADAPTERS).where(*where)).rowcount == 1


def by_id(connection: Connection, adapter_id: str) -> AdapterRow | None:
    return connection.execute(select(ADAPTERS).where(ADAPTERS.c.id == adapter_id)).first()


def of_name(connection: Connection, account_id: str, name: str, states: Collection[str]) -> AdapterRow | None:
    """The account's adapter of that name in one of the states, which must be either `ready` or the others."""
    where = ADAPTERS.c.account_id == account_id, ADAPTERS.c.name == name, ADAPTERS.c.state.in_(states)
    return connection.execute(select(ADAPTERS).where(*where)).first()


def usable(connection: Connection, account_id: str, id_or_name: str) -> list[AdapterRow]:
    """What an account may mean by an id or a name, a ready one first: its own, and by id what others made public.

    A name is never a uuid, so they are two at most.
    """
    public = and_(ADAPTERS.c.public, ADAPTERS.c.state == READY, ADAPTERS.c.id == _as_id(id_or_name))
    query = select(ADAPTERS).where(or_(_own(account_id, id_or_name), public))
    return sorted(connection.execute(query).all(), key=lambda row: row.state != READY)


def of_account(connection: Connection, account_id: str) -> list[AdapterRow]:
    """All that the account sees of its own, oldest first."""
    query = select(ADAPTERS).where(ADAPTERS.c.account_id == account_id, ADAPTERS.c.state.in_(VISIBLE))
    return list(connection.execute(query.order_by(ADAPTERS.c.created_at, ADAPTERS.c.name)).all())


def public(connection: Connection, order_by: str, limit: int, offset: int) -> list[AdapterRow]:
    """Every account's ready adapters that are public, by one of the columns of `PUBLIC_ORDERS`."""
    query = select(ADAPTERS).where(ADAPTERS.c.public, ADAPTERS.c.state == READY)
    query = query.order_by(ADAPTERS.c[order_by], ADAPTERS.c.id).limit(limit).offset(offset)
    return list(connection.execute(query).all())


def count(connection: Connection, account_id: str, states: Collection[str], but_name: str = "") -> int:
    """The account's adapters in those states, `but_name` not counted."""
    query = select(func.count()).where(
        ADAPTERS.c.account_id == account_id, ADAPTERS.c.state.in_(states), ADAPTERS.c.name != but_name
    )
    return connection.execute(query).scalar_one()


def digests(connection: Connection) -> frozenset[str]:
    """The names of all stored folders."""
    return frozenset(connection.execute(select(ADAPTERS.c.digest).where(ADAPTERS.c.digest != "")).scalars())


def in_states(connection: Connection, *states: str) -> list[AdapterRow]:
    return list(connection.execute(select(ADAPTERS).where(ADAPTERS.c.state.in_(states))).all())


def oldest_refused(connection: Connection, account_id: str, keep: int) -> list[AdapterRow]:
    """The account's refused adapters beyond the `keep` newest."""
    query = select(ADAPTERS).where(ADAPTERS.c.account_id == account_id, ADAPTERS.c.state == REFUSED)
    query = query.order_by(ADAPTERS.c.modified_at.desc()).offset(keep).limit(keep)
    return list(connection.execute(query).all())


def expired(connection: Connection, age_s: float) -> list[AdapterRow]:
    """Those whose last change is `age_s` seconds old and that nobody will decide: unfinished or refused."""
    return list(connection.execute(select(ADAPTERS).where(_expired(age_s))).all())


def delete_expired(connection: Connection, adapter_id: str, age_s: float) -> bool:
    """Whether it was one of `expired` still, and is gone: an asset may have come meanwhile."""
    return (
        connection.execute(delete(ADAPTERS).where(ADAPTERS.c.id == adapter_id, _expired(age_s))).rowcount == 1
    )


def needs_digest(connection: Connection, account_id: str, digest: str, but_id: str = "") -> bool:
    """Whether a row of the account, other than `but_id`, needs that stored folder."""
    query = select(ADAPTERS.c.id).where(
        ADAPTERS.c.account_id == account_id, ADAPTERS.c.digest == digest, ADAPTERS.c.id != but_id
    )
    return connection.execute(query.limit(1)).first() is not None


def utc_now() -> str:
    """ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _expired(age_s: float) -> ColumnElement[bool]:
    before = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
    return and_(ADAPTERS.c.state.in_((CREATED, REFUSED)), ADAPTERS.c.modified_at < before)


def _own(account_id: str, id_or_name: str) -> ColumnElement[bool]:
    named = or_(ADAPTERS.c.name == id_or_name, ADAPTERS.c.id == _as_id(id_or_name))
    return and_(ADAPTERS.c.account_id == account_id, ADAPTERS.c.state.in_(VISIBLE), named)


def _as_id(text: str) -> str:
    return str(uuid.UUID(text)) if looks_like_id(text) else text
