"""A lookup that is asked thousands of times a second and may be half a second old."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Clock = Callable[[], float]

LOOKUP_THREADS = 2


class Recent(Generic[Key, Value]):
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
