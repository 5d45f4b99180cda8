import asyncio
import threading

import pytest

from app.concurrency import TtlCache

pytestmark = pytest.mark.anyio


class Source:
    """Counts lookups; `values` are what is known now."""

    def __init__(self, **values: int) -> None:
        self.values = dict(values)
        self.lookups = 0
        self.now_s = 0.0
        self.open = threading.Event()
        self.asked = threading.Event()
        self.open.set()

    def clock(self) -> float:
        return self.now_s

    def look_up(self, key: str) -> int | None:
        self.lookups += 1
        self.asked.set()
        self.open.wait(10)
        if key == "broken":
            raise RuntimeError("no database")
        return self.values.get(key)


def recent(source: Source, max_entries: int = 3) -> TtlCache[str, int]:
    return TtlCache(source.look_up, source.clock, 0.5, max_entries)


async def test_answers_are_kept_until_they_are_old() -> None:
    source = Source(a=1)
    asked = recent(source)
    assert await asked.get("a") == 1
    source.values["a"] = 2
    source.now_s = 0.49
    assert await asked.get("a") == 1
    source.now_s = 0.5
    assert await asked.get("a") == 2
    assert source.lookups == 2


async def test_unknown_keys_are_not_kept() -> None:
    source = Source()
    asked = recent(source)
    for number in range(20):
        assert await asked.get(f"k{number}") is None
    assert len(asked) == 0
    source.values["k1"] = 5
    assert await asked.get("k1") == 5


async def test_the_oldest_entries_go_first() -> None:
    source = Source(a=1, b=2, c=3, d=4)
    asked = recent(source)
    for key in "abcd":
        await asked.get(key)
    assert len(asked) == 3
    await asked.get("d")
    assert source.lookups == 4
    await asked.get("a")
    assert source.lookups == 5


async def test_callers_at_once_share_a_lookup_and_may_leave() -> None:
    source = Source(a=1)
    source.open.clear()
    asked = recent(source)
    tasks = [asyncio.create_task(asked.get("a")) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    source.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [1, 1, 1, 1]
    assert source.lookups == 1


async def test_age_counts_from_before_the_lookup() -> None:
    source = Source(a=1)
    source.open.clear()
    asked = recent(source)
    task = asyncio.create_task(asked.get("a"))
    await asyncio.to_thread(source.asked.wait, 10)
    source.now_s = 0.6
    source.open.set()
    await task
    await asked.get("a")
    assert source.lookups == 2


async def test_a_failing_lookup_is_asked_again() -> None:
    source = Source()
    asked = recent(source)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no database"):
            await asked.get("broken")
    assert source.lookups == 2
