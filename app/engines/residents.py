"""Which adapters an engine holds in memory: leases, least-recently-used eviction, loads that nobody else waits for.

Only this file evicts. vLLM would evict by itself past its capacity and then read the adapter from disk again while
generating, where a fault ends the engine for everybody; so the capacity here is vLLM's, and a slot is freed (never
one that is leased) before the next adapter is loaded.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.engines.engine import LeasedAdapter
from app.errors import OutOfCapacity
from app.types import StoredAdapter

Load = Callable[[LeasedAdapter], Awaitable[None]]


@dataclass(slots=True)
class _Slot:
    adapter: LeasedAdapter
    loading: asyncio.Task[None]
    leases: int = 0
    forgotten: bool = False
    unloading: bool = False


class Residents:
    """At most `capacity` adapters, each loaded through `load` and dropped through `unload`.

    `lease` waits at most `wait_s` seconds for a slot, then raises `OutOfCapacity`. Whatever `load` raises reaches
    those who asked for that adapter and nobody else; a later lease tries again.
    """

    def __init__(self, capacity: int, load: Load, unload: Load, wait_s: float) -> None:
        self._capacity = capacity
        self._load = load
        self._unload = unload
        self._wait_s = wait_s
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # engine name -> slot, least recently used first
        self._next_int_id = 1  # never reused: vLLM picks weights by this id alone
        self._waiting = 0
        self._changed = asyncio.Condition()

    @property
    def count(self) -> int:
        return len(self._slots)

    @asynccontextmanager
    async def lease(self, stored: StoredAdapter) -> AsyncIterator[LeasedAdapter]:
        slot = await self._take(stored)
        try:
            await asyncio.shield(slot.loading)  # a caller that leaves does not end the load for the others
            yield slot.adapter
        finally:
            slot.leases -= 1
            await self._released(slot)

    async def forget(self, stored: StoredAdapter) -> None:
        """Drop the adapter now, or when its last lease ends."""
        slot = self._slots.get(stored.engine_name)
        if slot is not None:
            slot.forgotten = True
            await self._released(slot)

    async def _take(self, stored: StoredAdapter) -> _Slot:
        """The adapter's slot with one more lease on it, its load begun."""
        try:
            async with asyncio.timeout(self._wait_s), self._changed:
                self._waiting += 1
                try:
                    while (slot := self._find_or_open(stored)) is None:
                        self._make_room()
                        await self._changed.wait()
                finally:
                    self._waiting -= 1
                slot.leases += 1
                self._slots.move_to_end(stored.engine_name)
                return slot
        except TimeoutError:
            raise OutOfCapacity(f"All {self._capacity} adapter slots are in use.") from None

    def _find_or_open(self, stored: StoredAdapter) -> _Slot | None:
        slot = self._slots.get(stored.engine_name)
        if slot is not None:
            return None if slot.unloading else slot
        return self._open(stored) if len(self._slots) < self._capacity else None

    def _make_room(self) -> None:
        """Begin to drop the least recently used adapter without a lease; one drop per waiting request is enough."""
        idle = [s for s in self._slots.values() if not s.leases and not s.unloading and s.loading.done()]
        unloading = sum(slot.unloading for slot in self._slots.values())
        if idle and unloading < self._waiting and len(self._slots) >= self._capacity:
            self._start_unload(idle[0])

    def _open(self, stored: StoredAdapter) -> _Slot:
        adapter = LeasedAdapter(stored, self._next_int_id)
        self._next_int_id += 1
        slot = _Slot(adapter, asyncio.ensure_future(self._load(adapter)))
        slot.loading.add_done_callback(lambda task: self._drop_failed(slot, task))
        self._slots[stored.engine_name] = slot
        return slot

    def _drop_failed(self, slot: _Slot, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._slots.pop(slot.adapter.stored.engine_name, None)

    def _start_unload(self, slot: _Slot) -> None:
        slot.unloading = True
        slot.loading = asyncio.ensure_future(self._unload_and_drop(slot))
        slot.loading.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _unload_and_drop(self, slot: _Slot) -> None:
        try:
            await self._unload(slot.adapter)
        finally:
            self._slots.pop(slot.adapter.stored.engine_name, None)
            async with self._changed:
                self._changed.notify_all()

    async def _released(self, slot: _Slot) -> None:
        if slot.forgotten and not slot.leases and not slot.unloading and slot.loading.done():
            self._start_unload(slot)
        async with self._changed:
            self._changed.notify_all()
