"""app/inference/constrained/tool_calls.py: calls in a model's text, however it is cut into deltas."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import JsonModeUnmet
from app.inference.constrained.schema_checker import AccountSchemas, Schemas
from app.inference.constrained.tool_calls import CallScanner, ToolCalls
from app.types import Delta, FinishReason, TokenLogprob, Tool

TOOLS = (Tool("go", "", {"type": "object"}), Tool("stop", "", {"type": "object"}))
pytestmark = pytest.mark.anyio


class Judge(Schemas):
    """Says at once what the child process would say."""

    def __init__(self, fault: str | None = None) -> None:
        super().__init__()
        self._says = fault

    async def fault(self, schema: dict[str, Any], text: str, account_id: str = "") -> str | None:
        assert schema == {"type": "object"}
        assert isinstance(json.loads(text), dict)
        return self._says


def judge(fault: str | None = None) -> AccountSchemas:
    return AccountSchemas(Judge(fault), "a")


async def engine(deltas: Sequence[Delta]) -> AsyncIterator[Delta]:
    for delta in deltas:
        yield delta


def deltas_of(pieces: Sequence[str], reason: FinishReason = "stop") -> list[Delta]:
    whole = [Delta(piece, [1, 2], None, 3) for piece in pieces[:-1]]
    return [*whole, Delta(pieces[-1] if pieces else "", [1], reason)]


async def taken(
    pieces: Sequence[str], reason: FinishReason = "stop", fault: str | None = None
) -> list[Delta]:
    deltas = ToolCalls(engine(deltas_of(pieces, reason)), TOOLS, judge(fault))
    return [delta async for delta in deltas]


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def calls_of(deltas: Sequence[Delta]) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for delta in deltas for call in delta.tool_calls]


def written(name: str, arguments: Any) -> str:
    return f'<tool_call>{{"name": {json.dumps(name)}, "arguments": {json.dumps(arguments)}}}</tool_call>'


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """The text in pieces of any size, empty ones too."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


PLAIN = st.text(st.sampled_from('<tool_cal>/"\\{} \nxé'), max_size=20).filter(
    lambda text: "<tool_call>" not in text
)
VALUES = st.one_of(
    st.sampled_from(["</tool_call>", "<tool_call>", '"', "\\", '\\"</tool_call>', "é😀", "\n"]),
    st.text(st.sampled_from('</tool_call>"\\{}x'), max_size=20),
    st.integers(),
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "</tool_call>", '"']), VALUES, max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(["go", "stop"]), ARGUMENTS), max_size=3)


@given(st.data(), PLAIN, CALLS, st.sampled_from(["", "\n", " \n\n"]))
@settings(max_examples=400, deadline=None)
async def test_text_and_calls_in_any_pieces(
    data: st.DataObject, before: str, calls: list[tuple[str, Any]], between: str
) -> None:
    whole = before + between.join(written(*call) for call in calls) + (between if calls else "")
    deltas = await taken(data.draw(cut(whole)))
    assert text_of(deltas) == before
    assert calls_of(deltas) == calls
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    assert deltas[-1].finish_reason == ("tool_calls" if calls else "stop")


@given(st.data(), CALLS, st.integers(0, 200), st.sampled_from(["length", "stop"]))
@settings(max_examples=400, deadline=None)
async def test_a_cut_call_is_never_shown(
    data: st.DataObject, calls: list[tuple[str, Any]], length: int, reason: FinishReason
) -> None:
    """By `max_tokens`, or by a stop text within it."""
    whole = "Hi" + "\n".join(written(*call) for call in [*calls, ("go", {"a": "b"})])
    text = whole[: max(2 + len("<tool_call>"), min(length, len(whole) - 1))]
    done = [call for index, call in enumerate(calls) if len(_until(calls, index)) <= len(text) - 2]
    deltas = await taken(data.draw(cut(text)), reason)
    assert calls_of(deltas) == done
    assert deltas[-1].finish_reason == ("tool_calls" if done and reason == "stop" else reason)
    shown = text_of(deltas)
    assert shown == "Hi" or (reason == "stop" and "<tool_call>".startswith(shown[2:]))


def _until(calls: list[tuple[str, Any]], index: int) -> str:
    return "\n".join(written(*call) for call in calls[: index + 1])


async def test_text_passes_at_once() -> None:
    deltas = await taken(["a", " < b", " <tool", "s> <", "tool_call"])
    assert [delta.text for delta in deltas] == ["a", " < b", " ", "<tools> ", "<tool_call"]


async def test_what_may_begin_a_call_is_lost_where_the_tokens_end() -> None:
    assert text_of(await taken(["a <tool_"], "length")) == "a "
    assert text_of(await taken(["a <tool_"], "stop")) == "a <tool_"


async def test_text_after_a_call_is_text() -> None:
    deltas = await taken([written("go", {}), "\n", " done", " now"])
    assert [delta.text for delta in deltas] == ["", "", "done", " now"]
    assert deltas[-1].finish_reason == "tool_calls"


async def test_one_delta_for_each() -> None:
    """So that tokens are counted as the engine gave them."""
    deltas = await taken(["a", "<tool_call>", written("go", {})[11:]])
    assert [(len(delta.token_ids), delta.cached_tokens) for delta in deltas] == [(2, 3), (2, 3), (1, 0)]


async def test_a_call() -> None:
    first, second = (await taken([written("go", {"a": "é"}) * 2]))[0].tool_calls
    assert (first.name, first.arguments) == ("go", '{"a": "é"}')
    assert re.fullmatch("call_[0-9a-f]{24}", first.id)
    assert second.id != first.id


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"name": "go", "arguments": {"a": 1e999}}', "not JSON"),
        (f'{{"name": "go", "arguments": {{"a": {"9" * 5000}}}}}', "not JSON"),
        ("5", "without name and arguments"),
        ('{"name": "go"}', "without name and arguments"),
        ('{"name": "fly", "arguments": {}}', "not one of the tools"),
        ('{"name": ["go"], "arguments": {}}', "not one of the tools"),
        (
            f'{{"name": "go", "arguments": {"[" * 65}{"]" * 65}}}',
            "nests more than 64 levels",
        ),
    ],
)
async def test_what_is_no_call(inside: str, text: str) -> None:
    with pytest.raises(JsonModeUnmet, match=text):
        await taken([f"<tool_call>{inside}</tool_call>"])


async def test_arguments_are_checked() -> None:
    with pytest.raises(JsonModeUnmet, match=r"^The model's arguments for go: '/a' is odd$"):
        await taken([written("go", {"a": 1})], fault="'/a' is odd")


async def test_logprobs_of_shown_text_alone() -> None:
    def delta(text: str, reason: FinishReason | None = None) -> Delta:
        return Delta(text, [1], reason, logprobs=(TokenLogprob(text, -1.0),))

    async def shown(*texts: str) -> list[list[str]]:
        deltas = engine([*(delta(text) for text in texts[:-1]), delta(texts[-1], "stop")])
        shown = ToolCalls(deltas, TOOLS, judge())
        return [[logprob.text for logprob in delta.logprobs] async for delta in shown]

    assert await shown("a", "<", "b") == [["a"], [], ["<", "b"]]
    assert await shown("a", "<", "tool_call>", written("go", {})[11:], "b") == [["a"], [], [], [], ["b"]]
    assert await shown("a", "<tool_call>", "{") == [["a"], [], []]
    assert await shown("a", "<tool") == [["a"], ["<tool"]]


def test_a_long_string_is_looked_at_once() -> None:
    """Marks in a string are not looked at again with every piece: that would be quadratic in the answer's length."""
    scanner = CallScanner()
    scanner.feed('<tool_call>{"name": "go", "arguments": {"a": "')
    for _ in range(20_000):
        scanner.feed('\\"</tool_call>')
    assert scanner.feed('"}}</tool_call>')[1][0].endswith('"}}')


async def test_one_call_at_most_where_no_more_are_wanted() -> None:
    pieces = [written("go", {}), written("stop", {}) + written("go", {})]
    deltas = ToolCalls(engine(deltas_of(pieces)), TOOLS, judge(), one_call=True)
    assert calls_of([delta async for delta in deltas]) == [("go", {})]
    both = ToolCalls(engine(deltas_of(["".join(pieces)])), TOOLS, judge(), one_call=True)
    assert calls_of([delta async for delta in both]) == [("go", {})]


async def test_a_call_that_must_be_made_and_is_cut_by_a_stop_text() -> None:
    pieces = [written("go", {})[:-5]]
    with pytest.raises(JsonModeUnmet, match="ended before its call"):
        [delta async for delta in ToolCalls(engine(deltas_of(pieces)), TOOLS, judge(), must_call=True)]
    cut = ToolCalls(engine(deltas_of(pieces, "length")), TOOLS, judge(), must_call=True)
    assert calls_of([delta async for delta in cut]) == []
