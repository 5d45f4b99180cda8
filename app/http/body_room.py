"""How many bytes of request bodies are held, in all and for each account; what is over goes back to the system."""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from app.errors import OutOfCapacity

RETRY_AFTER_S = 2
TRIM_FROM_BYTES = 16_000_000
TRIM_AFTER_S = 1.0


class BodyRoom:
    """Counts what has arrived, not what was announced: an announcement takes no memory. For one event loop.

    `trim` gives freed memory back to the system. It is called in a thread, when little is held again after much was.
    """

    def __init__(
        self,
        max_bytes: int,
        max_account_bytes: int,
        trim: Callable[[], None],
        trim_after_s: float = TRIM_AFTER_S,
    ) -> None:
        self._trim_after_s = trim_after_s
        self._max_bytes = max_bytes
        self._max_account_bytes = max_account_bytes
        self._trim = trim
        self._held: Counter[str] = Counter()
        self._total = self._peak = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held_bytes(self) -> int:
        return self._total

    def of(self, account_id: str) -> "Held":
        """Room for one body; nothing is taken yet."""
        return Held(self, account_id)

    def take(self, account_id: str, size: int) -> None:
        """Raises OutOfCapacity."""
        if self._held[account_id] + size > self._max_account_bytes:
            raise OutOfCapacity(_full(self._max_account_bytes, "of this account "), RETRY_AFTER_S)
        if self._total + size > self._max_bytes:
            raise OutOfCapacity(_full(self._max_bytes), RETRY_AFTER_S)
        self._held[account_id] += size
        self._total += size
        self._peak = max(self._peak, self._total)

    def give(self, account_id: str, size: int) -> None:
        self._total -= size
        self._held[account_id] -= size
        if not self._held[account_id]:
            del self._held[account_id]
        if self._timer is None and self._peak >= TRIM_FROM_BYTES and self._total <= self._peak // 4:
            self._timer = asyncio.get_running_loop().call_later(self._trim_after_s, self._trim_in_thread)

    def _trim_in_thread(self) -> None:
        self._timer = None
        self._peak = self._total
        asyncio.get_running_loop().run_in_executor(None, self._trim)


class Held:
    """The bytes of one body. Leaving the block, or `release` before it, gives its room back."""

    __slots__ = ("_account_id", "_room", "_size")

    def __init__(self, room: BodyRoom, account_id: str) -> None:
        self._room = room
        self._account_id = account_id
        self._size = 0

    def grow(self, size: int) -> None:
        """Raises OutOfCapacity."""
        self._room.take(self._account_id, size)
        self._size += size

    def release(self) -> None:
        if self._size:
            self._room.give(self._account_id, self._size)
            self._size = 0

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _full(max_bytes: int, whose: str = "") -> str:
    return f"{max_bytes} bytes of request bodies {whose}are being read, which is the most at once."
