"""Runs made of given deltas, for the tests of what dialects make of them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from app.http.dialect import Reply
from app.inference.admission import Admission
from app.inference.pipeline import Run
from app.types import Delta, Prompt, Sampling, TextRequest, ToolCall

BERLIN = ToolCall("call_1", "get_weather", '{"city": "Berlin"}')
PARIS = ToolCall("call_2", "get_weather", '{"city": "Paris"}')
WORDS = (Delta("One", [1]), Delta(' "two"\n', [2]), Delta("", [3], "stop"))
SHORT = (Delta("One", [1], "length"),)
CALLS = (
    Delta("", [1]),
    Delta("", [2], None, 0, (), (BERLIN,)),
    Delta("", [3], "tool_calls", 0, (), (PARIS,)),
)
TEXT_AND_CALL = (Delta("Let me see.", [1]), Delta("", [2], "tool_calls", 0, (), (BERLIN,)))
ABORTED = (Delta("One", [1]), Delta("", [2], "abort"))


def run_of(deltas: Sequence[Delta], cached_tokens: int = 0) -> Run:
    """A run of 7 prompt tokens, of which so many were cached."""

    async def engine() -> AsyncIterator[Delta]:
        for index, delta in enumerate(deltas):
            yield delta._replace(cached_tokens=cached_tokens) if index == 0 else delta

    prompt, request = Prompt([1] * 7), TextRequest("a", None, Sampling(max_tokens=5))
    return Run(engine(), Admission(1, 100).admit(), prompt, request)


async def frames(reply: Reply, deltas: Sequence[Delta]) -> list[str]:
    """The stream's events, without the empty line at the end of each."""
    run = run_of(deltas)
    made = reply.events(run)
    text = next(made)
    async for delta in run:
        text += made.send(delta)
    text += made.send(None)
    assert text.endswith(b"\n\n")
    return text[:-2].decode().split("\n\n")


async def events(reply: Reply, deltas: Sequence[Delta]) -> list[Any]:
    """The JSON values of a stream, which are all but a `[DONE]`; named events have their name as `type`."""
    parsed = []
    for frame in await frames(reply, deltas):
        *named, data = frame.split("\n")
        if data == "data: [DONE]":
            continue
        value = orjson.loads(data.removeprefix("data: "))
        assert named in ([], [f"event: {value.get('type')}"])
        parsed.append(value)
    return parsed
