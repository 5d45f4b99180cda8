"""Tools in Workers AI's own dialect, over a real socket, with the fake engine that writes a call."""

from typing import Any

import httpx
import orjson
import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.conftest import CF, HF, Serve

pytestmark = pytest.mark.anyio

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}},
    "required": ["city"],
}
WEATHER = {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS}
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Weather in Berlin?"}], "tools": [WEATHER]}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'


def events(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    *events, done = [event.removeprefix("data: ") for event in answer.text.strip().split("\n\n")]
    assert done == "[DONE]"
    return [{k: v for k, v in orjson.loads(event).items() if k != "p"} for event in events]


@pytest.mark.parametrize("model", [HF, CF])
async def test_a_call(serve: Serve, model: str) -> None:
    async with serve(FakeEngine(answer=CALL)) as served:
        result = (await served.run(ASK, model)).json()["result"]
    assert result["response"] == ""
    assert result["tool_calls"] == [{"name": "get_weather", "arguments": {"city": "Berlin"}}]
    assert result["usage"]["completion_tokens"] == len(CALL.split())


async def test_text_and_two_calls_streamed(serve: Serve) -> None:
    async with serve(FakeEngine(answer=f"I look. {CALL}\n{CALL}")) as served:
        answer = await served.run(ASK | {"stream": True})
    *texts, called, ended, usage = events(answer)
    assert "".join(event["response"] for event in texts) == "I look. "
    assert called["response"] == ""
    for index, call in enumerate(called["tool_calls"]):
        assert call.pop("id").startswith("call_")
        assert call == {
            "type": "function",
            "index": index,
            "function": {"name": "get_weather", "arguments": '{"city": "Berlin"}'},
            "name": "get_weather",
            "arguments": {"city": "Berlin"},
        }
    assert len(called["tool_calls"]) == 2
    assert ended == {"finish_reason": "tool_calls"}
    assert usage["usage"]["completion_tokens"] == len(f"I look. {CALL}\n{CALL}".split(" "))


@pytest.mark.parametrize("more", [{}, {"tool_choice": "auto"}])
async def test_an_answer_without_a_call(serve: Serve, more: dict[str, Any]) -> None:
    async with serve() as served:
        result = (await served.run(ASK | more)).json()["result"]
        assert list(result) == ["response", "usage"]
        assert result["response"] == ANSWER
        streamed = events(await served.run(ASK | more | {"stream": True}))
        assert "".join(event["response"] for event in streamed) == ANSWER


@pytest.mark.parametrize("more", [{"tools": []}, {"tool_choice": "none"}])
async def test_what_looks_like_a_call_is_text_without_tools(serve: Serve, more: dict[str, Any]) -> None:
    async with serve(FakeEngine(answer=CALL)) as served:
        result = (await served.run(ASK | more)).json()["result"]
    assert (result["response"], "tool_calls" in result) == (CALL, False)


async def test_a_call_that_is_cut_is_not_shown(serve: Serve) -> None:
    async with serve(FakeEngine(answer=f"I look. {CALL} {CALL}")) as served:
        cut = (await served.run(ASK | {"max_tokens": 4})).json()["result"]
        assert (cut["response"], "tool_calls" in cut) == ("I look. ", False)
        whole = (await served.run(ASK | {"max_tokens": 7})).json()["result"]
        assert (whole["response"], len(whole["tool_calls"])) == ("I look. ", 1)
        streamed = events(await served.run(ASK | {"max_tokens": 7, "stream": True}))
        assert streamed[-2] == {"finish_reason": "length"}


async def test_arguments_that_break_the_parameters(serve: Serve) -> None:
    async with serve(FakeEngine(answer=CALL.replace('"Berlin"', "5"))) as served:
        answer = await served.run(ASK)
        assert answer.status_code == 400
        error = answer.json()["errors"][0]
        assert error["code"] == 5024
        assert "The model's arguments for get_weather: '/city' does not satisfy 'type'" in error["message"]
        streamed = await served.run(ASK | {"stream": True})
        assert '"code":5024' in streamed.text
        assert "[DONE]" not in streamed.text


async def test_refusals(serve: Serve) -> None:
    async with serve() as served:
        for more, text in (
            ({"tool_choice": "all"}, "enum all not in auto,none,required at '/tool_choice'"),
            ({"tools": [WEATHER, WEATHER]}, "'/tools/1' has the name of another tool, get_weather"),
            (
                {"tools": [WEATHER | {"parameters": PARAMETERS | {"required": ["a", "a"]}}]},
                "'/tools/get_weather/parameters' is not a JSON schema: '/required' does not satisfy 'uniqueItems'",
            ),
        ):
            answer = await served.run(ASK | more)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 5006)
            assert text in answer.text


async def test_earlier_calls_and_their_answers(serve: Serve) -> None:
    """As workers-ai-provider and langchain-cloudflare send them."""
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Berlin"}'},
    }
    turns = [
        *ASK["messages"],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c", "name": "get_weather"},
    ]
    async with serve() as served:
        for model in (HF, CF):
            assert (await served.run(ASK | {"messages": turns}, model)).status_code == 200


async def test_json_or_a_call(serve: Serve) -> None:
    body = ASK | {"response_format": {"type": "json_object"}}
    async with serve(FakeEngine(answer=CALL)) as served:
        assert (await served.run(body)).json()["result"]["tool_calls"][0]["name"] == "get_weather"
    async with serve(FakeEngine(answer='{"a": 1}')) as served:
        assert (await served.run(body)).json()["result"]["response"] == {"a": 1}


@pytest.mark.parametrize("levels", [240, 300, 900])
async def test_tools_that_nest_too_deep_are_refused_everywhere(serve: Serve, levels: int) -> None:
    deep: dict[str, Any] = {}
    for _ in range(levels):
        deep = {"not": deep}
    tool = {"name": "f", "description": "", "parameters": deep}
    bodies = {
        f"/run/{HF}": ASK | {"tools": [tool]},
        f"/run/{CF}": ASK | {"tools": [tool]},
        "/v1/chat/completions": ASK | {"model": HF, "tools": [{"type": "function", "function": tool}]},
        "/v1/responses": {"model": HF, "input": "Hi", "tools": [{"type": "function", **tool}]},
        "/v1/messages": ASK | {"model": HF, "max_tokens": 9, "tools": [{"name": "f", "input_schema": deep}]},
    }
    async with serve() as served:
        for path, body in bodies.items():
            answer = await served.client.post(f"/client/v4/accounts/local/ai{path}", json=body)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 5006), path
