"""Bodies of Anthropic's messages as the card's own form, and a run as such a message."""

from typing import Any

import orjson
import pytest

from app.errors import BadInput, RequestAborted
from app.http.dialect import ParsedRequest
from app.http.dialects.anthropic_messages import MessagesDialect
from app.http.padding import Padding
from tests.conftest import HF
from tests.http.dialects.runs import (
    ABORTED,
    BERLIN,
    CALLS,
    PARIS,
    SHORT,
    TEXT_AND_CALL,
    WORDS,
    events,
    frames,
    run_of,
)

DIALECT = MessagesDialect(Padding(enabled=False))
HELLO = [{"role": "user", "content": "Hello"}]
TEXT = 'One "two"\n'
COUNTS = {
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens_details": {"thinking_tokens": 0},
    "server_tool_use": None,
}
USAGE = {
    **COUNTS,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "inference_geo": None,
    "service_tier": "standard",
    "speed": "standard",
}
ENDED = {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None, "container": None}


def parse(**more: Any) -> ParsedRequest:
    return DIALECT.parse({"model": HF, "max_tokens": 9, "messages": HELLO, **more})


def turns(*messages: Any) -> Any:
    return parse(messages=list(messages)).body["messages"]


def rendered(call: Any) -> dict[str, Any]:
    arguments = orjson.loads(call.arguments)
    caller = {"type": "direct"}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments, "caller": caller}


def test_the_body() -> None:
    asked = parse(model=f"{HF}:pirate", system="Be kind.", stop_sequences=["END"], top_k=3, metadata={})
    assert (asked.model, asked.lora, asked.extras.stop) == (HF, "pirate", ("END",))
    assert asked.body == {
        "messages": [{"role": "system", "content": "Be kind."}, *HELLO],
        "max_tokens": 9,
        "top_k": 3,
    }
    assert asked.unchecked == {}
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {}}]
    assert parse(system=blocks).body["messages"][0]["content"] == "a\n\nb"


def test_one_call_at_most() -> None:
    assert parse(tool_choice={"type": "auto", "disable_parallel_tool_use": True}).extras.one_call
    assert not parse(tool_choice={"type": "auto"}).extras.one_call


def test_the_older_name_of_the_format() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    asked = parse(output_format=wanted)
    assert asked.unchecked == parse(output_config={"format": wanted}).unchecked != {}


def test_blocks() -> None:
    use = {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "Sun."}]}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": ""}
    text = {"type": "text", "text": "And?"}
    assert turns(
        {"role": "assistant", "content": [thought, use]},
        {"role": "user", "content": [result, text]},
        {"role": "user", "content": [{**result, "content": "Rain."}]},
    ) == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sun."},
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]


@pytest.mark.parametrize(("kind", "choice"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_choices_of_a_tool(kind: str, choice: str) -> None:
    assert parse(tool_choice={"type": kind}).unchecked == {"tool_choice": choice}


def test_tools_and_formats() -> None:
    schema = {"type": "object", "properties": {}}
    tools = [{"name": "now", "input_schema": schema}, {"type": "custom", "name": "then", "input_schema": {}}]
    asked = parse(
        tools=tools,
        tool_choice={"type": "tool", "name": "now"},
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert asked.unchecked == {
        "tools": [{"name": "now", "parameters": schema}, {"name": "then", "parameters": {}}],
        "tool_choice": {"type": "function", "function": {"name": "now"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "", "schema": schema}},
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"max_tokens": None}, "required properties at '/' are 'model,messages,max_tokens'"),
        ({"messages": "Hello"}, "Type mismatch of '/messages', 'array' not in 'string'"),
        ({"system": [{"type": "image"}]}, "enum image not in text at '/system/0/type'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            "enum image not in text,tool_use,tool_result at '/messages/0/content/0/type'",
        ),
        ({"tools": [{"type": "bash_20250124"}]}, "enum bash_20250124 not in custom at '/tools/0/type'"),
        ({"tool_choice": {"type": "all"}}, "enum all not in auto,any,none,tool at '/tool_choice/type'"),
        ({"stop_sequences": [""]}, "Length of '/stop_sequences/0' must be >= 1 not met"),
        (
            {"output_config": {"format": {"type": "xml"}}},
            "enum xml not in json_schema at '/output_config/format/type'",
        ),
    ],
)
def test_refusals(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=f"Error: {text}"):
        parse(**fields)


@pytest.mark.anyio
async def test_the_whole_answer() -> None:
    answer = await parse().reply.json(run_of(WORDS, cached_tokens=2))
    assert answer == {
        "id": answer["id"],
        "type": "message",
        "role": "assistant",
        "model": HF,
        "content": [{"type": "text", "text": TEXT, "citations": None}],
        **ENDED,
        "diagnostics": None,
        "usage": {**USAGE, "input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 3},
    }
    assert answer["id"].startswith("msg_")
    assert (await parse().reply.json(run_of(SHORT)))["stop_reason"] == "max_tokens"


@pytest.mark.anyio
async def test_calls() -> None:
    answer = await parse().reply.json(run_of(CALLS))
    assert (answer["content"], answer["stop_reason"]) == ([rendered(BERLIN), rendered(PARIS)], "tool_use")


@pytest.mark.anyio
async def test_the_stream() -> None:
    start, *said = await events(parse().reply, WORDS)
    assert start["message"]["content"] == []
    assert start["message"]["usage"] == {**USAGE, "input_tokens": 7, "output_tokens": 0}
    assert said == [
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": "", "citations": None},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "One"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ' "two"\n'}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": ENDED,
            "usage": {**COUNTS, "input_tokens": 7, "output_tokens": 3},
        },
        {"type": "message_stop"},
    ]
    assert all(frame.startswith("event: ") for frame in await frames(parse().reply, WORDS))


@pytest.mark.anyio
async def test_calls_in_a_stream() -> None:
    said = (await events(parse().reply, TEXT_AND_CALL))[4:]
    assert said[:3] == [
        {"type": "content_block_start", "index": 1, "content_block": {**rendered(BERLIN), "input": {}}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": BERLIN.arguments},
        },
        {"type": "content_block_stop", "index": 1},
    ]
    assert said[3]["delta"]["stop_reason"] == "tool_use"
    indices = [event["index"] for event in await events(parse().reply, CALLS) if "index" in event]
    assert indices == [0, 0, 0, 1, 1, 1]


@pytest.mark.anyio
async def test_an_aborted_run_is_an_error() -> None:
    with pytest.raises(RequestAborted):
        await parse().reply.json(run_of(ABORTED))
    with pytest.raises(RequestAborted):
        await events(parse().reply, ABORTED)
