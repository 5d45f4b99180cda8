"""langchain-cloudflare: its chat model on the native endpoint, which is its default, and on the OpenAI one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_cloudflare import ChatCloudflareWorkersAI
from langchain_core.tools import tool

from app.engines.fake import ANSWER, FakeEngine
from tests.clients.finetunes import ready
from tests.conftest import HF, Serve, Served
from tests.live.server import LiveServer

FORMATS = ("workers_ai", "openai_compatible")
WORDS = len(ANSWER.split())
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Berlin"}}</tool_call>'

Chat = Callable[..., ChatCloudflareWorkersAI]
NEW: Chat = ChatCloudflareWorkersAI  # its types lack the names that its fields have outside


@pytest.fixture(params=FORMATS)
def chat(request: pytest.FixtureRequest) -> Iterator[Chat]:
    made: list[ChatCloudflareWorkersAI] = []

    def make(server: LiveServer | Served, model: str = HF, **more: Any) -> ChatCloudflareWorkersAI:
        chat = NEW(
            model=model,
            base_url=f"{server.url}/client/v4",
            account_id="local",
            api_token=server.token,
            endpoint_format=request.param,
            **more,
        )
        made.append(chat)
        return chat

    yield make
    for chat in made:
        chat.client.close()


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}"


def test_an_answer(chat: Chat, server: LiveServer) -> None:
    answer = chat(server).invoke("Hello")
    assert answer.content == ANSWER
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == WORDS


def test_a_stream(chat: Chat, server: LiveServer) -> None:
    chunks = [str(chunk.content) for chunk in chat(server).stream("Hello") if chunk.content]
    assert "".join(chunks) == ANSWER
    assert len(chunks) == WORDS


def test_a_conversation(chat: Chat, server: LiveServer) -> None:
    turns = [("system", "Be brief."), ("human", "Hello"), ("ai", "Hi"), ("human", "And you?")]
    assert chat(server, max_tokens=3).invoke(turns).content == " ".join(ANSWER.split()[:3])


def test_a_lora(chat: Chat, server: LiveServer, adapter: Path, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id.replace("_", "-")
    ready(server, name, adapter)
    model = chat(server, model_kwargs={"lora": name})
    assert str(model.invoke("Hello").content).startswith(f"[{name}]")
    assert str(next(model.stream("Hello")).content).startswith(f"[{name}]")


def test_an_error(chat: Chat, server: LiveServer) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        chat(server, "@cf/no/such").invoke("Hello")
    assert refused.value.response.json()["errors"][0]["code"] == 5007


@pytest.mark.anyio
async def test_a_tool(chat: Chat, serve: Serve) -> None:
    async with serve(FakeEngine(answer=CALL)) as served:
        plain = chat(served)
        model = plain.bind_tools([weather])
        async with plain.async_client:
            answer = await model.ainvoke("The weather in Berlin?")
            (call,) = answer.tool_calls
            assert (call["name"], call["args"]) == ("weather", {"city": "Berlin"})
            turns = ["The weather in Berlin?", answer, await weather.ainvoke(call)]
            assert (await model.ainvoke(turns)).tool_calls[0]["name"] == "weather"


@pytest.mark.anyio
async def test_an_object(chat: Chat, serve: Serve) -> None:
    schema = {
        "title": "place",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    async with serve(FakeEngine(answer='{"city": "Berlin"}')) as served:
        plain = chat(served)
        model = plain.with_structured_output(schema, method="json_schema")
        async with plain.async_client:
            assert await model.ainvoke("Where?") == {"city": "Berlin"}
