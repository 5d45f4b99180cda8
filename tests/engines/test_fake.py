"""app.engines.fake: stop texts and log probabilities as the real engine gives them."""

from typing import Any

import pytest

from app.engines.fake import FakeEngine
from app.types import Delta, Prompt, Sampling

pytestmark = pytest.mark.anyio


async def deltas(engine: FakeEngine, **sampling: Any) -> list[Delta]:
    await engine.start()
    given = Sampling(**{"max_tokens": 9, **sampling})
    return [
        delta
        async for delta in engine.generate(Prompt([1]), given, request_id="1", adapter=None, cache_salt="a")
    ]


@pytest.mark.parametrize(
    ("stop", "pieces", "reason"),
    [
        ((), ["one", " two", " three"], "stop"),
        (("four",), ["one", " two", " three"], "stop"),
        (("two",), ["one", " "], "stop"),
        (("e tw",), ["on"], "stop"),
        (("three", "ne"), ["o"], "stop"),
        ((" two",), ["one", ""], "stop"),
        (("o",), [""], "stop"),
    ],
)
async def test_stop(stop: tuple[str, ...], pieces: list[str], reason: str) -> None:
    got = await deltas(FakeEngine(answer="one two three"), stop=stop)
    assert [delta.text for delta in got] == pieces
    assert [delta.finish_reason for delta in got] == [None] * (len(pieces) - 1) + [reason]


async def test_stop_and_length() -> None:
    endless = FakeEngine(answer="one two", endless=True)
    assert "".join(d.text for d in await deltas(endless, max_tokens=5)) == "one twoone twoone"
    got = await deltas(endless, stop=("twoone t",), max_tokens=500)
    assert "".join(delta.text for delta in got) == "one "
    got = await deltas(FakeEngine(answer="one two"), stop=("two",), max_tokens=1)
    assert [(delta.text, delta.finish_reason) for delta in got] == [("one", "length")]


async def test_an_end_that_does_not_count() -> None:
    engine = FakeEngine(answer="one two three")
    got = await deltas(engine, ignore_eos=True)
    assert (len(got), got[-1].finish_reason) == (9, "length")
    got = await deltas(engine, min_tokens=5)
    assert ([delta.text for delta in got[3:]], got[-1].finish_reason) == (["one", " two"], "stop")
    assert len(await deltas(engine, min_tokens=2)) == 3


async def test_logprobs() -> None:
    engine = FakeEngine(answer="one two three")
    assert all(delta.logprobs == () for delta in await deltas(engine))
    (first, second, third) = [delta.logprobs for delta in await deltas(engine, logprobs=0)]
    assert [(token.text, token.top) for token in (*first, *second, *third)] == [
        ("one", ()),
        (" two", ()),
        (" three", ()),
    ]
    (token,) = (await deltas(engine, logprobs=2))[0].logprobs
    assert [text for text, _ in token.top] == ["one", " two"]
    assert 0 > token.top[0][1] == token.logprob > token.top[1][1]


async def test_several_tokens_at_once() -> None:
    got = await deltas(FakeEngine(answer="one two three", tokens_per_delta=2), logprobs=0)
    assert [(d.text, d.token_ids, len(d.logprobs), d.finish_reason) for d in got] == [
        ("one two", [0, 1], 2, None),
        (" three", [2], 1, "stop"),
    ]
