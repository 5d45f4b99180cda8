"""app/http/routes/compatible_apis.py over a real socket, with the fake engine."""

import asyncio
from typing import Any

import httpx
import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

ROOT = "/client/v4/accounts/local/ai/v1"
HELLO = [{"role": "user", "content": "Say hello"}]
CHAT = {"model": HF, "messages": HELLO}
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": CHAT,
    "completions": {"model": HF, "prompt": "Say hello"},
    "responses": {"model": HF, "input": "Say hello"},
    "messages": {**CHAT, "max_tokens": 200},
}
LAST_EVENTS = {
    "chat/completions": "[DONE]",
    "completions": "[DONE]",
    "responses": "response.completed",
    "messages": "message_stop",
}


async def post(served: Served, path: str, body: Any, **options: Any) -> httpx.Response:
    return await served.client.post(f"{ROOT}/{path}", json=body, **options)


def text_of(path: str, answer: dict[str, Any]) -> str:
    if path == "responses":
        return str(answer["output"][0]["content"][0]["text"])
    if path == "messages":
        return str(answer["content"][0]["text"])
    (choice,) = answer["choices"]
    return str(choice["text"] if path == "completions" else choice["message"]["content"])


def data_of(stream: str) -> list[str]:
    """The data of each event."""
    assert stream.endswith("\n\n")
    return [event.rpartition("data: ")[2] for event in stream[:-2].split("\n\n")]


@pytest.mark.parametrize("path", BODIES)
async def test_answers_are_not_enveloped(serve: Serve, path: str) -> None:
    async with serve() as served:
        for end in ("", "/"):
            answer = await post(served, path + end, BODIES[path])
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] == "application/json"
            assert len(answer.headers["cf-ai-req-id"]) == 36
            assert text_of(path, answer.json()) == ANSWER
            assert answer.json()["model"] == HF


@pytest.mark.parametrize("path", BODIES)
async def test_streams(serve: Serve, path: str) -> None:
    async with serve() as served:
        answer = await post(served, path, {**BODIES[path], "stream": True})
        assert answer.headers["content-type"] == "text/event-stream"
        assert LAST_EVENTS[path] in data_of(answer.text)[-1]
        assert answer.text.count('"p":') == len(ANSWER.split())


async def test_the_schema_of_the_card_refuses_in_workers_ais_words(serve: Serve) -> None:
    async with serve() as served:
        answer = await post(served, "chat/completions", {**CHAT, "max_tokens": "many"})
        text = answer.json()["errors"][0]["message"]
        assert text.startswith("AiError: Bad input: Error: oneOf at '/' not met, 0 matches: ")
        assert "Type mismatch of '/max_tokens', 'integer' not in 'string'" in text


@pytest.mark.parametrize("model", [HF, CF])
async def test_what_these_clients_send_is_served_by_both_cards(serve: Serve, model: str) -> None:
    """Parts, nulls, calls and tools without descriptions, which the published schemas refuse."""
    call = {"id": "a", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    body = {
        "model": model,
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "noon"},
        ],
        "tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "temperature": None,
        "max_tokens": None,
        "stop": None,
        "seed": None,
    }
    engine = FakeEngine(answer='<tool_call>{"name": "now", "arguments": {}}</tool_call>')
    async with serve(engine) as served:
        answer = await post(served, "chat/completions", body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"


async def test_the_default_of_max_tokens_is_workers_ais(serve: Serve) -> None:
    async with serve(FakeEngine(endless=True)) as served:
        for more, tokens in (({}, 256), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 5}, 5)):
            answer = (await post(served, "chat/completions", {**CHAT, **more})).json()
            assert answer["usage"]["completion_tokens"] == tokens
            assert answer["choices"][0]["finish_reason"] == "length"


async def test_a_completion_is_of_raw_text(serve: Serve) -> None:
    async with serve() as served:
        counts = [
            (await post(served, "completions", {**BODIES["completions"], **more})).json()["usage"]
            for more in ({}, {"raw": False})
        ]
        raw, instruct = (usage["prompt_tokens"] for usage in counts)
        assert raw < instruct


async def test_an_anthropic_clients_header_is_a_token(serve: Serve) -> None:
    async with serve() as served, httpx.AsyncClient(base_url=served.url) as client:
        for token, status in ((served.token, 200), ("nobody", 401)):
            headers = {"x-api-key": token}
            answer = await client.post(f"{ROOT}/messages", json=BODIES["messages"], headers=headers)
            assert answer.status_code == status


async def test_models(serve: Serve) -> None:
    async with serve() as served:
        for end in ("", "/"):
            listed = (await served.client.get(f"{ROOT}/models{end}")).json()
            assert listed["object"] == "list"
            assert {model["id"] for model in listed["data"]} >= {HF, CF}
        (model,) = (item for item in listed["data"] if item["id"] == HF)
        assert model == {"id": HF, "object": "model", "created": 1712062859, "owned_by": "mistral"}
        for name in (HF, HF.replace("/", "%2F"), HF + "/"):
            assert (await served.client.get(f"{ROOT}/models/{name}")).json() == model
        unknown = await served.client.get(f"{ROOT}/models/@cf/none")
        assert unknown.json()["errors"][0]["code"] == 5007


async def test_leaving_a_stream_ends_the_run(serve: Serve) -> None:
    engine = FakeEngine(endless=True, delay_s=0.005)
    async with serve(engine) as served:
        body = {**CHAT, "stream": True, "max_tokens": 2000}
        async with served.client.stream("POST", f"{ROOT}/chat/completions", json=body) as answer:
            await anext(answer.aiter_bytes())
        while not engine.aborted:
            await asyncio.sleep(0.005)
        assert not engine.finished
