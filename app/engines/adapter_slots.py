"""Which adapters an engine holds in memory: leases, least-recently-used eviction, loads that nobody else waits for.

Only this file evicts. vLLM would evict by itself past its capacity and then read the adapter from disk again while
generating, where a fault ends the engine for everybody; so the capacity here is vLLM's, and a slot is freed (never
one that is leased) before the next adapter is loaded.

Everything but loads and unloads is synchronous: no cancellation can come between a lease and its release.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from app.engines.engine import LeasedAdapter
from app.errors import EngineDied, OutOfCapacity
from app.types import StoredAdapter

log = logging.getLogger(__name__)

Load = Callable[[LeasedAdapter], Awaitable[None]]


@dataclass(slots=True)
class _Slot:
    adapter: LeasedAdapter
    task: asyncio.Future[None]  # the load, later the unload
    leases: int = 0
    forgotten: bool = False
    unloading: bool = False

    @property
    def idle(self) -> bool:
        return not self.leases and not self.unloading and self.task.done()


class AdapterSlots:
    """At most `capacity` adapters, each loaded through `load` and dropped through `unload`.

    `lease` waits at most `wait_s` seconds for a slot, then raises `OutOfCapacity`. Whatever `load` raises reaches
    those who asked for that adapter and nobody else; a later lease tries again.
    """

    def __init__(
        self, capacity: int, load: Load, unload: Load, wait_s: float, int_ids: Iterator[int] | None = None
    ) -> None:
        """`int_ids` gives ids that were never used before: vLLM picks weights by this id alone."""
        self._capacity = capacity
        self._load = load
        self._unload = unload
        self._wait_s = wait_s
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # engine name -> slot, least recently used first
        self._int_ids = int_ids or count(1)
        self._waiters: dict[asyncio.Future[None], None] = {}  # in order: who waits longest looks first

    @property
    def count(self) -> int:
        return len(self._slots)

    def holds(self, adapter: LeasedAdapter) -> bool:
        """Whether a lease of this adapter came from here and is held."""
        slot = self._slots.get(adapter.stored.engine_name)
        return slot is not None and slot.adapter is adapter

    @asynccontextmanager
    async def lease(self, stored: StoredAdapter) -> AsyncIterator[LeasedAdapter]:
        slot = await self._take(stored)
        try:
            await asyncio.shield(slot.task)  # a caller that leaves does not end the load for the others
            yield slot.adapter
        finally:
            slot.leases -= 1
            self._settle(slot)

    async def forget(self, stored: StoredAdapter) -> None:
        """Drop the adapter now, or when its last lease ends."""
        slot = self._slots.get(stored.engine_name)
        if slot is not None:
            slot.forgotten = True
            self._settle(slot)

    def abandon(self) -> None:
        """The engine died with all that it held: who waits for a slot hears EngineDied."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(EngineDied())

    async def _take(self, stored: StoredAdapter) -> _Slot:
        """The adapter's slot with one more lease on it, its load begun."""
        try:
            async with asyncio.timeout(self._wait_s):
                while (slot := self._find_or_open(stored)) is None:
                    await self._change()
        except TimeoutError:
            raise OutOfCapacity(f"All {self._capacity} adapter slots are in use.") from None
        slot.leases += 1
        self._slots.move_to_end(stored.engine_name)
        return slot

    async def _change(self) -> None:
        """Wait until a slot may be free, having begun to free one where that is possible."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            self._make_room()
            await waiter
        finally:
            del self._waiters[waiter]

    def _find_or_open(self, stored: StoredAdapter) -> _Slot | None:
        slot = self._slots.get(stored.engine_name)
        if slot is not None:
            return None if slot.unloading else slot
        return self._open(stored) if len(self._slots) < self._capacity else None

    def _open(self, stored: StoredAdapter) -> _Slot:
        adapter = LeasedAdapter(stored, next(self._int_ids))
        slot = _Slot(adapter, asyncio.ensure_future(self._load(adapter)))
        self._slots[stored.engine_name] = slot
        slot.task.add_done_callback(lambda task: self._loaded(slot, task))
        return slot

    def _loaded(self, slot: _Slot, task: "asyncio.Future[None]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._slots.pop(slot.adapter.stored.engine_name, None)
        self._settle(slot)

    def _make_room(self) -> None:
        """Begin to drop the least recently used idle adapter; one drop per waiting request is enough."""
        unloading = sum(slot.unloading for slot in self._slots.values())
        idle = next((slot for slot in self._slots.values() if slot.idle), None)
        if idle is not None and unloading < len(self._waiters) and len(self._slots) >= self._capacity:
            self._drop(idle)

    def _drop(self, slot: _Slot) -> None:
        slot.unloading = True
        slot.task = asyncio.ensure_future(self._unload(slot.adapter))
        slot.task.add_done_callback(lambda task: self._dropped(slot, task))

    def _dropped(self, slot: _Slot, task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("adapter %s was not unloaded", slot.adapter.stored.engine_name, exc_info=failure)
        self._slots.pop(slot.adapter.stored.engine_name, None)
        self._wake()

    def _settle(self, slot: _Slot) -> None:
        """After a load or a release: drop what was forgotten, and let those who wait look again."""
        known = self._slots.get(slot.adapter.stored.engine_name) is slot
        if known and slot.forgotten and slot.idle:
            self._drop(slot)
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
