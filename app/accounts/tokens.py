"""API tokens: made from 32 random bytes, shown once, kept as their sha256.

`checked_scopes` says what a token may be allowed to do. `TokenCache` is the lookup on every request's path.
"""

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, delete, insert, select, update

from app.accounts.token_uses import TokenUses
from app.concurrency import Clock, TtlCache
from app.data_dir.reserve import Reserve
from app.database.tables import TOKEN_NAMES, TOKEN_USES, TOKENS
from app.database.transactions import exclusive
from app.errors import OperatorError, printable
from app.names import checked_account_id
from app.types import Caller

READ = "ai:read"
WRITE = "ai:write"
SCOPES = (READ, WRITE)

TOKEN_RANDOM_BYTES = 32
ASKED_AT_ONCE = 1000
TOKEN_NAME_MAX_CHARS = 64
TOKEN_PREFIX = "ow_"  # noqa: S105  lets a person, or a scanner of leaked secrets, see what it is
# 32 bytes are 43 characters of url-safe base64 without padding.
TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")

AUTHORITY_TTL_S = 0.5
AUTHORITY_MAX_ENTRIES = 10_000


def checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes as asked for. Raises `OperatorError` for an unknown one and for none at all."""
    asked = frozenset(scopes)
    unknown = sorted(asked.difference(SCOPES))
    if unknown:
        raise OperatorError(f"scope {printable(unknown[0])!r}: unknown; use {READ} or {WRITE}")
    if not asked:
        raise OperatorError(f"scope: none given; use {READ} or {WRITE}")
    return asked


def effective_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """What a token may do: `ai:write` implies `ai:read`."""
    given = frozenset(scopes)
    return given | {READ} if WRITE in given else given


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is known of a token after it was shown. Times are ISO 8601 in UTC; `name` and `last_used_at` may be empty."""

    id: str
    account_id: str
    scopes: tuple[str, ...]
    created_at: str
    name: str = ""
    last_used_at: str = ""


class TokenStore:
    """The tokens in the database. Every call is one short transaction; call from a thread, not from the event
    loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, account_id: str, scopes: Iterable[str], name: str = "") -> tuple[str, str]:
        """Make a token; returns its id and its text, which can't be had again. Raises `OperatorError`."""
        row = {
            "id": str(uuid.uuid4()),
            "account_id": checked_account_id(account_id),
            "scopes": " ".join(sorted(checked_scopes(scopes))),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_RANDOM_BYTES)
        with self._engine.begin() as connection:
            connection.execute(insert(TOKENS).values(**row, token_sha256=_sha256(token)))
            if name:
                connection.execute(
                    insert(TOKEN_NAMES).values(token_id=row["id"], name=checked_token_name(name))
                )
        return row["id"], token

    def list(self, account_id: str | None = None) -> list[TokenRecord]:
        """The tokens of one account, or of all, oldest first. Raises `OperatorError` for an impossible
        account id."""
        query = (
            select(TOKENS, TOKEN_NAMES.c.name, TOKEN_USES.c.last_used_at)
            .outerjoin(TOKEN_NAMES, TOKEN_NAMES.c.token_id == TOKENS.c.id)
            .outerjoin(TOKEN_USES, TOKEN_USES.c.token_sha256 == TOKENS.c.token_sha256)
            .order_by(TOKENS.c.created_at, TOKENS.c.id)
        )
        if account_id is not None:
            query = query.where(TOKENS.c.account_id == checked_account_id(account_id))
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            TokenRecord(
                row.id,
                row.account_id,
                tuple(row.scopes.split()),
                row.created_at,
                row.name or "",
                row.last_used_at or "",
            )
            for row in rows
        ]

    def accounts(self) -> "set[str]":
        """Those that have a token."""
        with self._engine.connect() as connection:
            return set(connection.scalars(select(TOKENS.c.account_id).distinct()))

    def revoke(self, token_id: str) -> None:
        """End a token by its id (not its text). Raises `OperatorError` when there is none.

        Works on a full disk."""
        if not Reserve.of(self._engine).spend(lambda: self._delete(token_id)):
            shown = "(the text of a token)" if TOKEN.fullmatch(token_id) else repr(printable(token_id))
            raise OperatorError(f"token {shown}: no token has this id; list the tokens to see their ids")

    def _delete(self, token_id: str) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(delete(TOKENS).where(TOKENS.c.id == token_id)).rowcount > 0

    def find(self, token: str) -> Caller | None:
        """Whom `token` serves, with what it implies spelled out; None when it is unknown or revoked."""
        if TOKEN.fullmatch(token) is None:
            return None
        return self.find_sha256(_sha256(token))

    def find_sha256(self, token_sha256: str) -> Caller | None:
        """As `find`, for a caller that keeps no token texts. `token_sha256` is in hexadecimal."""
        with self._engine.connect() as connection:
            row = connection.execute(select(TOKENS).where(TOKENS.c.token_sha256 == token_sha256)).first()
        if row is None or not hmac.compare_digest(row.token_sha256, token_sha256):
            return None
        return Caller(row.account_id, effective_scopes(row.scopes.split()), token_sha256)

    def used(self, times: Mapping[str, str]) -> None:
        """Keep when tokens were used last, by their sha256, in one transaction. One that was revoked is left out."""
        uses = TOKEN_USES.c
        with exclusive(self._engine, "token uses") as connection:
            for token, at in times.items():
                where = uses.token_sha256 == token
                if connection.execute(update(TOKEN_USES).where(where).values(last_used_at=at)).rowcount:
                    continue
                known = select(TOKENS.c.token_sha256).where(TOKENS.c.token_sha256 == token)
                if connection.execute(known).first() is not None:
                    connection.execute(insert(TOKEN_USES).values(token_sha256=token, last_used_at=at))

    def revoked(self, token_sha256s: Collection[str]) -> set[str]:
        """Those of the sums that no token has, with a look for each thousand of them."""
        left = set(token_sha256s)
        with self._engine.connect() as connection:
            for start in range(0, len(token_sha256s), ASKED_AT_ONCE):
                asked = tuple(token_sha256s)[start : start + ASKED_AT_ONCE]
                query = select(TOKENS.c.token_sha256).where(TOKENS.c.token_sha256.in_(asked))
                left.difference_update(connection.scalars(query))
        return left


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def checked_token_name(name: str) -> str:
    """Raises `OperatorError`."""
    if len(name) > TOKEN_NAME_MAX_CHARS or not name.isprintable() or not name.strip():
        raise OperatorError(f"--name: must be 1 to {TOKEN_NAME_MAX_CHARS} printable characters on one line")
    return name


def token_sha256(token: str) -> str | None:
    """The key that a token is stored under; None for text that can't be a token."""
    return _sha256(token) if TOKEN.fullmatch(token) else None


class TokenCache:
    """Answers from memory for `ttl_s` seconds, so a token revoked by another process stops working within 1
    s.

    Keeps sha256 sums, never token texts. `clock` gives monotonic seconds; `uses` hears of each token that is let in.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        uses: TokenUses | None = None,
        ttl_s: float = AUTHORITY_TTL_S,
        max_entries: int = AUTHORITY_MAX_ENTRIES,
    ) -> None:
        self._uses = uses
        self._cache = TtlCache(store.find_sha256, clock, ttl_s, max_entries)

    async def caller(self, token: str) -> Caller | None:
        """Whom `token` serves; None when it is malformed, unknown or revoked."""
        key = token_sha256(token)
        if key is None:
            return None
        caller = self._cache.kept(key) or await self._cache.get(key)
        if caller is not None and self._uses is not None:
            self._uses.note(key)
        return caller
