"""app/inference/constrained/tool_prompt.py: token for token the same as the text in plain turns."""

from typing import Protocol

import pytest

from app.inference.constrained.tool_prompt import explained
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.types import Message, Sampling, TextRequest, Tool, ToolCall

WEATHER = Tool(
    "get_weather",
    "The weather in a “city”.",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
STOP = Tool("stop", "", {"type": "object", "properties": {}})
EXPLANATION = (
    'You can call functions. To call one, write <tool_call>{"name": NAME, "arguments": ARGUMENTS}</tool_call>'
    " and nothing else.\n"
    "Functions:\n"
    '{"name": "get_weather", "description": "The weather in a “city”.", "parameters": {"type": "object", '
    '"properties": {"city": {"type": "string"}}, "required": ["city"]}}\n'
    '{"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}}}'
)
BERLIN = ToolCall("call_1", "get_weather", '{"city": "Berlin"}')
BERLIN_TEXT = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'


@pytest.fixture(scope="module")
def builder(tokenizer: Tokenizer) -> PromptBuilder:
    return PromptBuilder(tokenizer)


def asked(*messages: Message, tools: tuple[Tool, ...] = (), raw: bool = False) -> TextRequest:
    return TextRequest(None, messages, Sampling(max_tokens=1), raw=raw, tools=tools)


class Build(Protocol):
    def __call__(self, *messages: Message, tools: tuple[Tool, ...] = (), raw: bool = False) -> list[int]: ...


@pytest.fixture
def build(builder: PromptBuilder) -> Build:
    return lambda *messages, **options: builder.build(asked(*messages, **options)).token_ids


def test_the_explanation() -> None:
    assert explained((WEATHER, STOP)) == EXPLANATION
    assert explained(()) == ""


def test_the_explanation_comes_before_other_system_text(build: Build) -> None:
    expected = build(Message("user", f"{EXPLANATION}\n\nBe brief.\n\nHello"))
    turns = (Message("system", "Be brief."), Message("user", "Hello"))
    assert build(*turns, tools=(WEATHER, STOP)) == expected
    assert build(*reversed(turns), tools=(WEATHER, STOP)) == expected


def test_a_whole_conversation(build: Build) -> None:
    turns = (
        Message("user", "Weather?"),
        Message("assistant", "", (BERLIN,)),
        Message("tool", "rain", tool_call_id="call_1"),
        Message("assistant", "Rain. Sun?", (BERLIN, BERLIN)),
        Message("tool", "no"),
        Message("tool", ""),
    )
    expected = build(
        Message("user", f"{EXPLANATION}\n\nWeather?"),
        Message("assistant", BERLIN_TEXT),
        Message("user", "<tool_response>rain</tool_response>"),
        Message("assistant", f"Rain. Sun?\n{BERLIN_TEXT}\n{BERLIN_TEXT}"),
        Message("user", "<tool_response>no</tool_response>\n\n<tool_response></tool_response>"),
    )
    assert build(*turns, tools=(WEATHER, STOP)) == expected


def test_calls_and_answers_stay_where_a_request_has_no_tools(build: Build) -> None:
    turns = (Message("user", "a"), Message("assistant", "", (BERLIN,)), Message("tool", "b"))
    expected = (
        Message("user", "a"),
        Message("assistant", BERLIN_TEXT),
        Message("user", "<tool_response>b</tool_response>"),
    )
    assert build(*turns) == build(*expected)


def test_raw_adds_nothing(build: Build) -> None:
    turns = (Message("user", "a"), Message("assistant", "", (BERLIN,)), Message("tool", "b"))
    assert build(*turns, tools=(WEATHER,), raw=True) == build(Message("user", "ab"), raw=True)


def test_a_name_that_no_tool_may_have_is_quoted(build: Build) -> None:
    text = '<tool_call>{"name": "a\\"b", "arguments": {}}</tool_call>'
    turn = Message("assistant", "", (ToolCall("", 'a"b', "{}"),))
    assert build(turn, Message("user", "c")) == build(Message("assistant", text), Message("user", "c"))


def test_the_explanation_counts_for_the_limits(builder: PromptBuilder) -> None:
    request = asked(Message("user", "a"), tools=(STOP,) * 1000)
    assert builder.count_at_least(builder.chars(request)) > 1000
    assert builder.count_at_least(builder.chars(request)) <= len(builder.build(request).token_ids)
