"""One-time codes that let the page in a browser begin with the development token.

A code stands behind `#code=` in a link that the terminal shows. A fragment is never sent with a request, so no proxy and
no log sees it; the page sends it once in a body. Nothing else gives a browser a token: an address or a header says
where a request comes from, not who made it.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable

from sqlalchemy import Engine, delete, insert, select

from app.database.tables import PAGE_CODES
from app.database.transactions import exclusive

CODE_RANDOM_BYTES = 32
CODE_LIFETIME_S = 600
CODES_MAX = 100
"""So many unused codes work at once; another one ends the oldest."""

# 32 bytes are 43 characters of url-safe base64 without padding.
CODE = re.compile(r"[A-Za-z0-9_-]{43}")


class PageCodes:
    """Keeps the codes in the database, as sha256 sums: a command makes one, the running server takes it.

    Every call is one short transaction; call from a thread, not from the event loop. `clock` gives seconds since 1970.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    def make(self) -> str:
        """Return a new code. It works once, within `CODE_LIFETIME_S` seconds."""
        code = secrets.token_urlsafe(CODE_RANDOM_BYTES)
        now = self._clock()
        newest = (
            select(PAGE_CODES.c.code_sha256).order_by(PAGE_CODES.c.expires_at.desc()).limit(CODES_MAX - 1)
        )
        with exclusive(self._engine, "page codes") as connection:
            connection.execute(delete(PAGE_CODES).where(PAGE_CODES.c.expires_at <= now))
            connection.execute(delete(PAGE_CODES).where(PAGE_CODES.c.code_sha256.not_in(newest)))
            connection.execute(
                insert(PAGE_CODES).values(code_sha256=_sha256(code), expires_at=now + CODE_LIFETIME_S)
            )
        return code

    def take(self, code: str) -> bool:
        """Use `code` up. False when it is unknown, was used or is too old; of several calls at once one gets True.

        A code that doesn't work is only looked up: a stranger waits for no lock, and holds none.
        """
        if CODE.fullmatch(code) is None:
            return False
        it = (PAGE_CODES.c.code_sha256 == _sha256(code), PAGE_CODES.c.expires_at > self._clock())
        with self._engine.connect() as connection:
            if connection.execute(select(PAGE_CODES.c.code_sha256).where(*it)).first() is None:
                return False
        with self._engine.begin() as connection:
            return connection.execute(delete(PAGE_CODES).where(*it)).rowcount == 1


def _sha256(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def page_link(url: str, code: str | None) -> str:
    """Return the page's address on the server at `url`, with `code` where there is one."""
    return f"{url}/#code={code}" if code else f"{url}/"
