"""Tools on the real engine: a call that must be made is always one that its parameters accept."""

import json
import random
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.standin.recipe import text, tool_talk
from app.types import Tool
from tests.live.pages import blocks
from tests.live.server import CF, HF, LiveServer, sse_events

pytestmark = pytest.mark.engine

SEEDS = range(20)
NAMES = ("get_weather", "send-mail", "files.search", "add", "f")
WORDS = ("city", "unit", "days", "to", "text", "x y", "größe", "n")


def leaf(chance: random.Random) -> dict[str, Any]:
    return chance.choice(
        [
            {"type": "string", "maxLength": chance.randint(0, 20)},
            {"type": "string", "enum": ["celsius", "fahrenheit", 'a "quoted" one']},
            {"type": "string", "pattern": "^[a-z]{2,5}$"},
            {"type": "integer", "minimum": -5, "maximum": 300},
            {"type": "boolean"},
            {"type": "array", "items": {"enum": [1, None, "x"]}, "minItems": 1, "maxItems": 3},
            {"const": {"a": [1]}},
            {"anyOf": [{"type": "null"}, {"type": "boolean"}]},
        ]
    )


def an_object(chance: random.Random, levels: int) -> dict[str, Any]:
    names = chance.sample(WORDS, chance.randint(0, 3))
    deeper = levels > 0 and chance.random() < 0.4
    properties = {name: an_object(chance, levels - 1) if deeper else leaf(chance) for name in names}
    return {
        "type": "object",
        "properties": properties,
        "required": [n for n in names if chance.random() < 0.7],
    }


def a_tool(chance: random.Random, name: str) -> dict[str, Any]:
    function = {"name": name, "description": "Does something.", "parameters": an_object(chance, 2)}
    return function if chance.random() < 0.5 else {"type": "function", "function": function}


def tools_of(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [a_tool(chance, name) for name in chance.sample(NAMES, chance.randint(1, 4))]


def function_of(tool: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = tool.get("function", tool)
    return function


def ask(live: LiveServer, tools: list[dict[str, Any]], model: str = HF, **more: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "Do it."}], "tools": tools, "max_tokens": 400, **more}
    answer = live.run(body, model)
    assert answer.status_code == 200, answer.text
    return answer


def check(call: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    (parameters,) = [
        function_of(tool)["parameters"] for tool in tools if function_of(tool)["name"] == call["name"]
    ]
    Draft202012Validator(parameters).validate(call["arguments"])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_required(live: LiveServer, seed: int, temperature: float) -> None:
    tools = tools_of(seed)
    result = ask(live, tools, tool_choice="required", temperature=temperature, seed=seed + 1).json()["result"]
    assert result["response"] == ""
    (call,) = result["tool_calls"]
    check(call, tools)


@pytest.mark.parametrize("seed", SEEDS)
def test_named(live: LiveServer, seed: int) -> None:
    tools = tools_of(seed)
    name = function_of(tools[-1])["name"]
    choice = {"type": "function", "function": {"name": name}}
    (call,) = ask(live, tools, tool_choice=choice, seed=seed + 1).json()["result"]["tool_calls"]
    assert call["name"] == name
    check(call, tools)


def test_streamed(live: LiveServer) -> None:
    tools = tools_of(3)
    *events, done = sse_events(ask(live, tools, tool_choice="required", stream=True).text)
    assert done == "[DONE]"
    called, ended, usage = (json.loads(event) for event in events)
    (call,) = called["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == call["arguments"]
    check(call, tools)
    assert ended == {"finish_reason": "tool_calls"}
    assert usage["usage"]["completion_tokens"] > 10


def in_request(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("taught", tool_talk.questions(), ids=lambda taught: taught.question)
def test_the_stand_in_calls_by_itself(live: LiveServer, taught: tool_talk.Taught, stream: bool) -> None:
    body = {
        "messages": [{"role": "user", "content": taught.question}],
        "tools": [in_request(tool) for tool in taught.tools],
        "temperature": 0,
        "stream": stream,
    }
    answer = live.run(body)
    result = json.loads(sse_events(answer.text)[0]) if stream else answer.json()["result"]
    (call,) = result["tool_calls"]
    assert (call["name"], call["arguments"]) == (taught.name, taught.arguments)
    assert not result.get("response")


def test_the_request_of_the_page_gets_the_answer_of_the_page(live: LiveServer) -> None:
    request, answer = (json.loads(block) for block in blocks("json", "docs/json-and-tools.md")[-2:])
    result = live.run({**request, "temperature": 0}).json()["result"]
    assert {**result, "usage": {}} == answer


def test_a_tool_that_is_not_offered_is_not_called(live: LiveServer) -> None:
    for taught in tool_talk.questions():
        assert live.text(taught.question) == text.load().unknown.answer


def test_a_choice_of_text(live: LiveServer) -> None:
    question = {"messages": [{"role": "user", "content": "Which port does Outworker listen on?"}]}
    plain = live.run(question | {"temperature": 0}).json()["result"]
    chosen = live.run(question | {"temperature": 0, "tools": tools_of(1), "tool_choice": "none"}).json()[
        "result"
    ]
    assert chosen == plain


def test_a_cut_call_is_not_shown(live: LiveServer) -> None:
    result = ask(live, tools_of(2), tool_choice="required", max_tokens=10).json()["result"]
    assert (result["response"], "tool_calls" in result) == ("", False)


def test_a_conversation_with_calls_is_answered(live: LiveServer) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    turns = [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "c"},
    ]
    for model in (HF, CF):
        answer = live.run({"messages": turns}, model)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["response"]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_parameters_that_need_themselves_end_nothing_but_their_request(live: LiveServer, choice: str) -> None:
    endless = {"name": "endless", "description": "", "parameters": {"type": "object", "$ref": "#"}}
    body = {"messages": [{"role": "user", "content": "Do it."}], "tools": [*tools_of(1), endless]}
    answer = live.run(body | {"tool_choice": choice})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 5024)
    ask(live, tools_of(1), tool_choice="required")


def test_arguments_that_never_end_are_cut(live: LiveServer) -> None:
    parameters = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    tool = {"name": "deeper", "description": "", "parameters": parameters}
    result = ask(live, [tool], tool_choice="required", max_tokens=60).json()["result"]
    assert (result["response"], "tool_calls" in result) == ("", False)
