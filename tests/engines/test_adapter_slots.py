"""app/engines/adapter_slots.py: leases, eviction, failing and slow loads."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.engines.adapter_slots import AdapterSlots
from app.engines.engine import LeasedAdapter
from app.errors import FinetuneNotFound, OutOfCapacity
from app.types import StoredAdapter

pytestmark = pytest.mark.anyio


def adapter(name: str) -> StoredAdapter:
    return StoredAdapter(name, "acc", name, "m", "w", name, Path("/nowhere"), 8)


class Log:
    """Records loads and unloads; a name in `broken` fails to load, one in `slow` waits for its event (with a
    minus before it, to unload).
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.broken: set[str] = set()
        self.slow: dict[str, asyncio.Event] = {}

    async def load(self, leased: LeasedAdapter) -> None:
        name = leased.stored.name
        if name in self.slow:
            await self.slow[name].wait()
        await asyncio.sleep(0)
        if name in self.broken:
            raise FinetuneNotFound(name)
        self.events.append(f"+{name}")

    async def unload(self, leased: LeasedAdapter) -> None:
        await asyncio.sleep(0)
        if f"-{leased.stored.name}" in self.slow:
            await self.slow[f"-{leased.stored.name}"].wait()
        self.events.append(f"-{leased.stored.name}")


async def touch(residents: AdapterSlots, *names: str) -> None:
    for name in names:
        async with residents.lease(adapter(name)):
            pass


async def test_a_resident_adapter_is_loaded_once() -> None:
    log = Log()
    residents = AdapterSlots(2, log.load, log.unload, 1)
    await touch(residents, "a", "a", "a")
    assert log.events == ["+a"]


async def test_the_least_recently_used_goes_first() -> None:
    log = Log()
    residents = AdapterSlots(2, log.load, log.unload, 1)
    await touch(residents, "a", "b", "a", "c")
    assert log.events == ["+a", "+b", "-b", "+c"]
    assert residents.count == 2


async def test_a_leased_adapter_is_never_evicted() -> None:
    log = Log()
    residents = AdapterSlots(2, log.load, log.unload, 0.05)
    async with residents.lease(adapter("a")):
        await touch(residents, "b", "c", "d")
        assert "-a" not in log.events
        async with residents.lease(adapter("d")):
            with pytest.raises(OutOfCapacity, match="All 2 adapter slots"):
                await touch(residents, "e")


async def test_a_waiting_lease_gets_the_slot_that_frees() -> None:
    log = Log()
    residents = AdapterSlots(1, log.load, log.unload, 5)
    async with residents.lease(adapter("a")):
        waiting = asyncio.create_task(touch(residents, "b"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    await waiting
    assert log.events == ["+a", "-a", "+b"]


async def test_int_ids_are_never_reused() -> None:
    log = Log()
    residents = AdapterSlots(1, log.load, log.unload, 1)
    seen = []
    for name in "aba":
        async with residents.lease(adapter(name)) as leased:
            seen.append(leased.int_id)
    assert len(set(seen)) == 3


async def test_a_failed_load_reaches_its_callers_only_and_frees_the_slot() -> None:
    log = Log()
    log.broken.add("bad")
    residents = AdapterSlots(1, log.load, log.unload, 1)
    with pytest.raises(FinetuneNotFound):
        await touch(residents, "bad")
    await touch(residents, "good")
    log.broken.clear()
    await touch(residents, "bad")
    assert log.events == ["+good", "-good", "+bad"]


async def test_one_slow_load_holds_up_nobody_else() -> None:
    log = Log()
    log.slow["cold"] = asyncio.Event()
    residents = AdapterSlots(2, log.load, log.unload, 5)
    cold = asyncio.create_task(touch(residents, "cold"))
    await asyncio.sleep(0)
    await touch(residents, "warm")
    assert log.events == ["+warm"]
    log.slow["cold"].set()
    await cold


async def test_a_caller_that_leaves_does_not_end_the_load_for_the_others() -> None:
    log = Log()
    log.slow["a"] = asyncio.Event()
    residents = AdapterSlots(1, log.load, log.unload, 5)
    first = asyncio.create_task(touch(residents, "a"))
    second = asyncio.create_task(touch(residents, "a"))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    log.slow["a"].set()
    await second
    assert log.events == ["+a"]


async def test_forget_waits_for_the_last_lease() -> None:
    log = Log()
    residents = AdapterSlots(2, log.load, log.unload, 1)
    async with residents.lease(adapter("a")):
        await residents.forget(adapter("a"))
        await asyncio.sleep(0.01)
        assert log.events == ["+a"]
    await asyncio.sleep(0.01)
    assert log.events == ["+a", "-a"]
    await touch(residents, "a")
    assert log.events == ["+a", "-a", "+a"]


async def test_a_resident_adapter_is_used_and_evicted_without_its_files() -> None:
    log = Log()
    residents = AdapterSlots(1, log.load, log.unload, 1)
    await touch(residents, "a")
    log.broken.add("a")  # its files are gone: from now on a load fails
    await touch(residents, "a", "b")
    assert log.events == ["+a", "-a", "+b"]
    with pytest.raises(FinetuneNotFound):
        await touch(residents, "a")
    await touch(residents, "b")
    assert log.events == ["+a", "-a", "+b", "-b", "+b"]


async def test_everyone_who_asked_meets_the_failure_and_nobody_else() -> None:
    log = Log()
    log.broken.add("bad")
    log.slow["bad"] = asyncio.Event()
    residents = AdapterSlots(2, log.load, log.unload, 1)
    await touch(residents, "good")
    asking = [asyncio.create_task(touch(residents, name)) for name in ("bad", "good", "bad", "good")]
    await asyncio.sleep(0.01)
    log.slow["bad"].set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [FinetuneNotFound, type(None)] * 2
    assert residents.count == 1


async def test_those_who_wait_for_a_slot_hold_up_nobody_with_one() -> None:
    log = Log()
    log.slow["cold"] = asyncio.Event()
    residents = AdapterSlots(2, log.load, log.unload, 5)
    async with residents.lease(adapter("warm")):
        waiting = [asyncio.create_task(touch(residents, name)) for name in ("cold", "late", "later")]
        await asyncio.sleep(0.01)
        await touch(residents, "warm", "warm")
        assert log.events == ["+warm"]
        assert not any(task.done() for task in waiting)
        log.slow["cold"].set()
        await asyncio.gather(*waiting)


async def test_who_waits_longest_gets_the_next_slot() -> None:
    log = Log()
    residents = AdapterSlots(1, log.load, log.unload, 5)
    names = [f"n{number}" for number in range(30)]
    async with residents.lease(adapter("first")):
        waiting = []
        for name in names:
            waiting.append(asyncio.create_task(touch(residents, name)))
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert [event for event in log.events if event[0] == "+"] == ["+first", *(f"+{name}" for name in names)]


async def test_callers_that_leave_leave_nothing_behind() -> None:
    log = Log()
    log.slow["cold"] = asyncio.Event()
    residents = AdapterSlots(1, log.load, log.unload, 5)
    loading = asyncio.create_task(touch(residents, "cold"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(touch(residents, "other"))
    await asyncio.sleep(0)
    for task in (waiting, loading):
        task.cancel()
    await asyncio.gather(loading, waiting, return_exceptions=True)
    log.slow["cold"].set()
    await touch(residents, "next")
    assert log.events == ["+cold", "-cold", "+next"]
    assert residents.count == 1


async def test_an_adapter_forgotten_while_it_loads_is_dropped() -> None:
    log = Log()
    log.slow["a"] = asyncio.Event()
    residents = AdapterSlots(2, log.load, log.unload, 5)
    task = asyncio.create_task(touch(residents, "a"))
    await asyncio.sleep(0)
    await residents.forget(adapter("a"))
    log.slow["a"].set()
    await task
    await asyncio.sleep(0.01)
    assert (log.events, residents.count) == (["+a", "-a"], 0)


async def test_an_adapter_on_its_way_out_is_loaded_again() -> None:
    log = Log()
    log.slow["-a"] = asyncio.Event()
    residents = AdapterSlots(2, log.load, log.unload, 5)
    await touch(residents, "a")
    await residents.forget(adapter("a"))
    task = asyncio.create_task(touch(residents, "a"))
    await asyncio.sleep(0.01)
    log.slow["-a"].set()
    await task
    assert log.events == ["+a", "-a", "+a"]


async def test_200_adapters_through_4_slots() -> None:
    log = Log()
    residents = AdapterSlots(4, log.load, log.unload, 5)
    loaded: list[int] = []

    async def use(number: int) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(residents.lease(adapter(f"n{number % 50}")))
            loaded.append(residents.count)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(use(number) for number in range(200)))
    assert len(loaded) == 200
    assert max(loaded) <= 4
