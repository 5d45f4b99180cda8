"""app.engines.delta_stream: nothing is lost between an engine that puts and a task that takes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engines.delta_stream import DeltaStream, joined
from app.errors import InternalError
from app.types import Delta

pytestmark = pytest.mark.anyio


class Engine:
    """Counts what the stream asks of it."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.stream = DeltaStream(self._begin, self._end)

    async def _begin(self, stream: DeltaStream) -> None:
        self.begun += 1

    async def _end(self) -> None:
        self.ended += 1


def delta(number: int, *, last: bool = False) -> Delta:
    return Delta(f"{number} ", [number], "stop" if last else None)


async def taken(stream: DeltaStream) -> list[Delta]:
    return [each async for each in stream]


@given(st.lists(st.sampled_from(["put", "pause"]), max_size=30))
def test_every_token_arrives_once_and_in_order(script: list[str]) -> None:
    async def run() -> None:
        engine = Engine()
        reader = asyncio.create_task(taken(engine.stream))
        await asyncio.sleep(0)
        count = 0
        for step in script:
            if step == "put":
                engine.stream.put(delta(count))
                count += 1
            else:
                await asyncio.sleep(0)
        engine.stream.put(delta(count, last=True))
        deltas = await reader
        assert [number for each in deltas for number in each.token_ids] == list(range(count + 1))
        assert "".join(each.text for each in deltas) == "".join(f"{number} " for number in range(count + 1))
        assert [each.finish_reason for each in deltas] == [None] * (len(deltas) - 1) + ["stop"]

    asyncio.run(run())


async def test_a_token_at_a_time_where_the_reader_keeps_up() -> None:
    engine = Engine()
    reader = asyncio.create_task(taken(engine.stream))
    for number in range(3):
        await asyncio.sleep(0.001)
        engine.stream.put(delta(number, last=number == 2))
    assert len(await reader) == 3


async def test_what_piled_up_comes_as_one() -> None:
    engine = Engine()
    engine.stream.put(delta(0))
    engine.stream.put(delta(1))
    engine.stream.put(delta(2, last=True))
    assert await taken(engine.stream) == [Delta("0 1 2 ", [0, 1, 2], "stop")]


async def test_a_failure_reaches_the_reader_and_stays() -> None:
    engine = Engine()
    reader = asyncio.create_task(taken(engine.stream))
    await asyncio.sleep(0)
    engine.stream.fail(InternalError())
    with pytest.raises(InternalError):
        await reader
    with pytest.raises(InternalError):
        await anext(engine.stream)


async def test_a_reader_that_was_cancelled_loses_nothing_to_the_next_put() -> None:
    engine = Engine()
    reader = asyncio.create_task(taken(engine.stream))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    engine.stream.put(delta(0, last=True))
    assert await taken(engine.stream) == [delta(0, last=True)]


async def test_the_engine_is_asked_once_and_told_once() -> None:
    engine = Engine()
    await engine.stream.aclose()
    assert (engine.begun, engine.ended) == (0, 0)
    engine.stream.put(delta(0, last=True))
    assert await taken(engine.stream)
    await engine.stream.aclose()
    await engine.stream.aclose()
    assert (engine.begun, engine.ended) == (1, 1)


async def test_what_the_beginning_raises_is_the_readers() -> None:
    async def refuse(stream: DeltaStream) -> None:
        raise InternalError

    async def nothing() -> None: ...

    with pytest.raises(InternalError):
        await anext(DeltaStream(refuse, nothing))


def test_joined_keeps_what_the_first_knew() -> None:
    first = Delta("a", [1], None, cached_tokens=7)
    assert joined([first, Delta("b", [2, 3], "length")]) == Delta("ab", [1, 2, 3], "length", 7)
