"""When each token was used last, for the person who lists tokens and revokes those that nobody needs."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.exc import DatabaseError

from app.errors import StorageError

WRITE_S: Final = 60.0

log = logging.getLogger(__name__)


class TokenUses:
    """Notes uses in memory and gives them to `write` once a minute, because a request must not cost a write.

    `write` takes ISO 8601 times in UTC by the sha256 of a token. For one event loop.
    """

    def __init__(self, write: Callable[[Mapping[str, str]], None], write_s: float = WRITE_S) -> None:
        self._write = write
        self._write_s = write_s
        self._used: set[str] = set()

    def note(self, token_sha256: str) -> None:
        """Somebody was let in with this token just now."""
        self._used.add(token_sha256)

    async def watch(self) -> None:
        """Write again and again, for ever."""
        while True:
            await asyncio.sleep(self._write_s)
            used, now = self._take()
            await asyncio.to_thread(self._write_all, used, now)

    def flush(self) -> None:
        """Write what was noted, at the server's end."""
        self._write_all(*self._take())

    def _take(self) -> tuple[set[str], str]:
        used, self._used = self._used, set()
        return used, datetime.now(UTC).isoformat(timespec="minutes")

    def _write_all(self, used: set[str], now: str) -> None:
        if not used:
            return
        try:
            self._write(dict.fromkeys(used, now))
        except (
            DatabaseError,
            StorageError,
        ) as error:  # a full disk or a locked file costs the note, nothing else
            log.warning("when tokens were used last can't be written: %s", type(error).__name__)
