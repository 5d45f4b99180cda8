"""What runs for which token, so that it ends when the token is revoked."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from sqlalchemy.exc import DatabaseError

from app.concurrency import Interruption
from app.errors import AuthenticationFailed, StorageError
from app.types import Caller

LOOK_S = 0.4
"""With the look itself a revoked token's requests end within a second."""

log = logging.getLogger(__name__)


class Running:
    """Ends the requests of revoked tokens. `revoked` says in one look which of some sha256 sums no token has any more.

    For one event loop; looks are made in a thread of their own, and only while something runs.
    """

    def __init__(self, revoked: Callable[[Collection[str]], set[str]], look_s: float = LOOK_S) -> None:
        self._revoked = revoked
        self._look_s = look_s
        self._by_token: defaultdict[str, set[Interruption]] = defaultdict(set)
        self._thread = ThreadPoolExecutor(1, "revoked")

    def by(self, caller: Caller) -> "_While":
        """A block that ends with AuthenticationFailed when the caller's token is revoked."""
        return _While(self._by_token, caller.token_sha256)

    async def watch(self) -> None:
        """Look again and again, for ever."""
        failing = False
        while True:
            await asyncio.sleep(self._look_s)
            if not self._by_token:
                continue
            try:
                await self._look()
                failing = False
            except (
                DatabaseError,
                StorageError,
            ) as error:  # the next look may be better; the log hears of it once
                if not failing:
                    log.warning("which tokens are revoked can't be looked up: %s", type(error).__name__)
                failing = True

    async def _look(self) -> None:
        asked = tuple(self._by_token)
        loop = asyncio.get_running_loop()
        for token in await loop.run_in_executor(self._thread, self._revoked, asked):
            for interrupt in tuple(self._by_token.get(token, ())):
                interrupt()


class _While:
    __slots__ = ("_by_token", "_interruption", "_token")

    def __init__(self, by_token: defaultdict[str, set[Interruption]], token: str) -> None:
        self._by_token = by_token
        self._token = token

    async def __aenter__(self) -> None:
        self._interruption = Interruption()
        self._by_token[self._token].add(self._interruption)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        others = self._by_token[self._token]
        others.discard(self._interruption)
        if not others:
            del self._by_token[self._token]
        if self._interruption.happened and await self._interruption.ended(error):
            raise AuthenticationFailed from None
