"""Bodies of OpenAI's responses as the card's own form, and a run as such a response."""

from typing import Any

import pytest

from app.errors import BadInput, RequestAborted
from app.http.dialect import ParsedRequest
from app.http.dialects.openai_responses import ResponsesDialect
from app.http.padding import Padding
from app.types import Delta, TokenLogprob
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
    run_of,
)

DIALECT = ResponsesDialect(Padding(enabled=False))
TEXT = 'One "two"\n'
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "now",
    "description": None,
    "parameters": {},
    "strict": True,
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def parse(**more: Any) -> ParsedRequest:
    return DIALECT.parse({"model": HF, "input": "Hello", **more})


def rendered(call: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "id"}


@pytest.mark.anyio
async def test_one_call_at_most() -> None:
    asked = parse(parallel_tool_calls=False)
    assert asked.extras.one_call
    assert (await asked.reply.json(run_of(WORDS)))["parallel_tool_calls"] is False
    assert not parse().extras.one_call


def test_a_text() -> None:
    asked = parse(
        model=f"{HF}:pirate", instructions="Be kind.", max_output_tokens=9, temperature=0, user=None
    )
    assert (asked.model, asked.lora, asked.extras.logprobs) == (HF, "pirate", None)
    assert asked.body == {
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 9,
        "temperature": 0,
    }
    assert asked.unchecked == {}


def test_items() -> None:
    items = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}", "id": "fc_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": "Sun."},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Sun!", "annotations": []}]},
    ]
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert parse(input=items).body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sun."},
        {"role": "assistant", "content": "Sun!"},
    ]


def test_tools_formats_and_probabilities() -> None:
    format_ = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    asked = parse(tools=[TOOL], tool_choice={"type": "function", "name": "now"}, text={"format": format_})
    assert asked.unchecked == {
        "tools": [{"name": "now", "parameters": {}}],
        "tool_choice": {"type": "function", "function": {"name": "now"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    }
    assert parse(text={"format": {"type": "json_object"}}).unchecked == {
        "response_format": {"type": "json_object"}
    }
    assert parse(text={"format": {"type": "text"}, "verbosity": "low"}).unchecked == {}
    assert parse(tool_choice="none").unchecked == {"tool_choice": "none"}
    assert parse(include=["message.output_text.logprobs"]).extras.logprobs == 0
    assert parse(top_logprobs=3).extras.logprobs == 3


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"input": None}, "required properties at '/' are 'model,input'"),
        ({"input": 5}, "Type mismatch of '/input', 'array' not in 'number','integer'"),
        ({"input": ["a"]}, "Type mismatch of '/input/0', 'object' not in 'string'"),
        ({"input": [{"type": "nothing"}]}, "enum nothing not in message,.* at '/input/0/type'"),
        ({"input": [{"content": "a"}]}, "Type mismatch of '/input/0/role', 'string' not in 'null'"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "enum input_image not in input_text,output_text,text at '/input/0/content/0/type'",
        ),
        ({"previous_response_id": "resp_1"}, "'/previous_response_id' is not supported: send the whole"),
        ({"background": True}, "'/background' is not supported"),
        ({"tools": [{"type": "web_search"}]}, "enum web_search not in function at '/tools/0/type'"),
        ({"instructions": 5}, "Type mismatch of '/instructions', 'string' not in"),
        ({"text": {"format": {"type": "json_schema"}}}, "Type mismatch of '/text/format/schema', 'object'"),
    ],
)
def test_refusals(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=f"Error: {text}"):
        parse(**fields)


@pytest.mark.anyio
async def test_the_whole_answer() -> None:
    answer = await parse(temperature=0.5, metadata={"a": "b"}).reply.json(run_of(WORDS, cached_tokens=2))
    (message,) = answer["output"]
    assert without_id(message) == {
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}],
    }
    assert answer["id"].startswith("resp_")
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", HF)
    assert (answer["temperature"], answer["metadata"]) == (0.5, {"a": "b"})
    assert answer["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }


@pytest.mark.anyio
async def test_an_answer_that_ran_out_of_tokens() -> None:
    answer = await parse().reply.json(run_of(SHORT))
    assert (answer["status"], answer["incomplete_details"]) == (
        "incomplete",
        {"reason": "max_output_tokens"},
    )
    assert answer["output"][0]["status"] == "incomplete"
    *_, item, last = await events(parse().reply, SHORT)
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert item["item"]["status"] == "incomplete"


@pytest.mark.anyio
async def test_calls() -> None:
    answer = await parse().reply.json(run_of(CALLS))
    assert [without_id(item) for item in answer["output"]] == [rendered(BERLIN), rendered(PARIS)]
    answer = await parse().reply.json(run_of(TEXT_AND_CALL))
    assert [item["type"] for item in answer["output"]] == ["message", "function_call"]


@pytest.mark.anyio
async def test_the_stream() -> None:
    said = await events(parse().reply, WORDS)
    assert [event["type"].removeprefix("response.") for event in said] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in said] == list(range(10))
    assert "".join(event["delta"] for event in said if event["type"].endswith("text.delta")) == TEXT
    assert said[6]["text"] == TEXT
    assert len({event["item_id"] for event in said[3:8]}) == 1
    assert said[-1]["response"]["output"] == [said[-2]["item"]]
    assert said[-1]["response"]["usage"]["total_tokens"] == 10
    assert said[0]["response"]["status"] == "in_progress"
    assert said[0]["response"]["id"] == said[-1]["response"]["id"]


@pytest.mark.anyio
async def test_calls_in_a_stream() -> None:
    said = await events(parse().reply, TEXT_AND_CALL)
    assert [event["type"].removeprefix("response.") for event in said[5:]] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    added, delta, done, finished = said[8:12]
    assert {event["output_index"] for event in said[8:12]} == {1}
    assert (added["item"]["arguments"], delta["delta"], done["arguments"]) == (
        "",
        BERLIN.arguments,
        BERLIN.arguments,
    )
    assert without_id(finished["item"]) == rendered(BERLIN)
    assert [item["type"] for item in said[-1]["response"]["output"]] == ["message", "function_call"]


@pytest.mark.anyio
async def test_an_empty_answer_is_an_empty_message() -> None:
    nothing = (Delta("", [1], "stop"),)
    (message,) = (await parse().reply.json(run_of(nothing)))["output"]
    assert message["content"][0]["text"] == ""
    (streamed,) = (await events(parse().reply, nothing))[-1]["response"]["output"]
    assert without_id(streamed) == without_id(message)


@pytest.mark.anyio
async def test_logprobs() -> None:
    deltas = (Delta("a", [1], "stop", 0, (TokenLogprob("a", -0.5),)),)
    expected = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
    (message,) = (await parse().reply.json(run_of(deltas)))["output"]
    assert message["content"][0]["logprobs"] == expected
    said = await events(parse().reply, deltas)
    shown = [{"token": "a", "logprob": -0.5, "top_logprobs": []}]  # events have no bytes
    assert [event["logprobs"] for event in said if "output_text" in event["type"]] == [shown, shown]
    assert said[-1]["response"]["output"][0]["content"][0]["logprobs"] == expected


@pytest.mark.anyio
async def test_an_aborted_run_is_an_error() -> None:
    with pytest.raises(RequestAborted):
        await parse().reply.json(run_of(ABORTED))
    with pytest.raises(RequestAborted):
        await events(parse().reply, ABORTED)
