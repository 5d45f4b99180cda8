"""What several coroutines share: a cancellation of one's own that is told from any other, a time limit, and a cache whose
entries age.

`Interruption` does what `asyncio.timeout` does, for any reason and at a third of the cost: several stand on every
request's path.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Clock = Callable[[], float]

LOOKUP_THREADS = 2


class Interruption:
    """Made in the task to cancel. Call it where the reason is; ask `ended` where the interrupted block ends."""

    __slots__ = ("_task", "happened")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self.happened = False

    def __call__(self) -> None:
        self.happened = True
        self._task.cancel()

    async def ended(self, error: BaseException | None) -> bool:
        """Whether the block ended by it: then the cancellation is over, and the caller raises what it means.

        `error` is what came out of the block. Ask only when it `happened`.
        """
        if error is None:
            try:
                await asyncio.sleep(0)  # the cancellation is under way: it must arrive here, not later
            except asyncio.CancelledError as arrived:
                error = arrived
        return isinstance(error, asyncio.CancelledError) and self._task.uncancel() == 0


class deadline:  # noqa: N801  reads as what it does: `async with deadline(seconds, error)`
    """When the block takes longer it ends with what `error` makes of the seconds."""

    __slots__ = ("_error", "_interruption", "_seconds", "_timer")

    def __init__(self, seconds: float, error: Callable[[float], Exception]) -> None:
        self._seconds = seconds
        self._error = error

    async def __aenter__(self) -> None:
        self._interruption = Interruption()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._interruption)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._interruption.happened and await self._interruption.ended(error):
            raise self._error(self._seconds) from None


class TtlCache(Generic[Key, Value]):
    """Answers from memory while an answer is younger than `ttl_s` seconds, else asks `lookup` in a thread of its own.

    An answer's age counts from before its lookup began, and callers that ask for the same key at the same
    time share one lookup. `None` answers are never kept, so keys that name nothing cost no memory; of the
    others at most `max_entries` are kept, the longest unrefreshed ones go first. For one event loop.
    """

    def __init__(
        self, lookup: Callable[[Key], Value | None], clock: Clock, ttl_s: float, max_entries: int = 10_000
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._kept: dict[Key, tuple[float, Value]] = {}
        self._under_way: dict[Key, asyncio.Task[Value | None]] = {}
        self.threads = ThreadPoolExecutor(LOOKUP_THREADS, "lookup")
        """For short looks only: what waits for a lock, or for a disk that writes, would keep all callers waiting."""

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        """Ask again from now on: something was changed in this process."""
        self._kept.clear()

    def kept(self, key: Key) -> Value | None:
        """What is in memory and young enough: saves most callers a coroutine."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and self._clock() - kept[0] < self._ttl_s else None

    async def get(self, key: Key) -> Value | None:
        if (kept := self.kept(key)) is not None:
            return kept
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.create_task(self._refresh(key))
            self._under_way[key] = task
        # A caller who leaves must not take the answer from the others.
        return await asyncio.shield(task)

    async def _refresh(self, key: Key) -> Value | None:
        started = self._clock()
        try:
            value = await asyncio.get_running_loop().run_in_executor(self.threads, self._lookup, key)
        finally:
            del self._under_way[key]
            self._kept.pop(key, None)
        if value is not None:
            self._keep(key, started, value)
        return value

    def _keep(self, key: Key, started: float, value: Value) -> None:
        self._kept[key] = (started, value)
        while len(self._kept) > self._max_entries:
            del self._kept[next(iter(self._kept))]
