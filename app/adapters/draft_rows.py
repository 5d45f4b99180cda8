"""The drafts' rows in the database: statements, no files."""

import uuid
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, not_, or_, select, update

from app.adapters.rows import utc_now
from app.database import DRAFTS
from app.names import looks_like_id

DraftRow = Row[tuple[object, ...]]


def insert_draft(connection: Connection, **columns: object) -> str:
    """Insert an unfinished draft; its new id."""
    draft_id, now = str(uuid.uuid4()), utc_now()
    empty = {"config_sha256": "", "weights_sha256": "", "findings": ""}
    connection.execute(
        insert(DRAFTS).values(id=draft_id, created_at=now, modified_at=now, **empty, **columns)
    )
    return draft_id


def update_draft(connection: Connection, draft_id: str, **columns: object) -> bool:
    """Whether the draft was there."""
    values = {"modified_at": utc_now(), **columns}
    return connection.execute(update(DRAFTS).where(DRAFTS.c.id == draft_id).values(**values)).rowcount == 1


def delete_draft(connection: Connection, draft_id: str) -> bool:
    """Whether the draft was there."""
    return connection.execute(delete(DRAFTS).where(DRAFTS.c.id == draft_id)).rowcount == 1


def by_id(connection: Connection, draft_id: str) -> DraftRow | None:
    return connection.execute(select(DRAFTS).where(DRAFTS.c.id == draft_id)).first()


def own(connection: Connection, account_id: str, id_or_name: str) -> DraftRow | None:
    """The account's draft with that id or name: a name is never a uuid, and one account's drafts differ in name."""
    wanted = str(uuid.UUID(id_or_name)) if looks_like_id(id_or_name) else id_or_name
    named = or_(DRAFTS.c.name == id_or_name, DRAFTS.c.id == wanted)
    return connection.execute(select(DRAFTS).where(DRAFTS.c.account_id == account_id, named)).first()


def of_account(connection: Connection, account_id: str) -> list[DraftRow]:
    """Oldest first."""
    query = select(DRAFTS).where(DRAFTS.c.account_id == account_id)
    return list(connection.execute(query.order_by(DRAFTS.c.created_at, DRAFTS.c.name)).all())


def count_unfinished(connection: Connection, account_id: str, but_name: str) -> int:
    """The account's drafts that may still become adapters, `but_name` not counted."""
    query = select(func.count()).where(
        DRAFTS.c.account_id == account_id, DRAFTS.c.findings == "", DRAFTS.c.name != but_name
    )
    return connection.execute(query).scalar_one()


def oldest_refused(connection: Connection, account_id: str, keep: int) -> list[DraftRow]:
    """The account's refused drafts beyond the `keep` newest."""
    query = select(DRAFTS).where(DRAFTS.c.account_id == account_id, DRAFTS.c.findings != "")
    return list(
        connection.execute(query.order_by(DRAFTS.c.modified_at.desc()).offset(keep).limit(keep)).all()
    )


def expired(connection: Connection, age_s: float) -> list[DraftRow]:
    """Drafts whose last change is `age_s` seconds old and that nobody will decide: unfinished or refused."""
    before = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat(timespec="milliseconds")
    return list(
        connection.execute(select(DRAFTS).where(DRAFTS.c.modified_at < before, not_(_complete()))).all()
    )


def undecided(connection: Connection) -> list[DraftRow]:
    """Drafts with both assets that were neither made ready nor refused."""
    return list(connection.execute(select(DRAFTS).where(_complete())).all())


def ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(DRAFTS.c.id)).scalars())


def _complete() -> ColumnElement[bool]:
    return and_(DRAFTS.c.config_sha256 != "", DRAFTS.c.weights_sha256 != "", DRAFTS.c.findings == "")
