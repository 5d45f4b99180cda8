"""The anthropic package for Python: messages, answered whole and streamed."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from app.engines.fake import ANSWER, FakeEngine
from tests.conftest import HF, Serve, Served

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "Hello"}]
ARGUMENTS = {"city": "Berlin"}
CALL = f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>'
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"name": "get_weather", "input_schema": PARAMETERS}]

Client = Callable[[Served], AbstractAsyncContextManager[AsyncAnthropic]]


@pytest.fixture
def client() -> Client:
    """Its key goes out as x-api-key."""

    def of(served: Served) -> AsyncAnthropic:
        base_url = f"{served.url}/client/v4/accounts/local/ai"
        return AsyncAnthropic(api_key=served.token, base_url=base_url, max_retries=0)

    return of


async def test_messages(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as mine:
        answer = await mine.messages.create(model=HF, max_tokens=99, messages=HELLO, system="Be kind.")
        (block,) = answer.content
        assert block.type == "text"
        assert (block.text, answer.stop_reason, answer.model) == (ANSWER, "end_turn", HF)
        assert answer.usage.output_tokens == len(ANSWER.split())
        back: Any = [*HELLO, {"role": "assistant", "content": answer.content}, *HELLO]
        short = await mine.messages.create(model=HF, max_tokens=2, messages=back)
        assert short.stop_reason == "max_tokens"
        stopped = await mine.messages.create(
            model=HF, max_tokens=99, messages=HELLO, stop_sequences=[" engine"]
        )
        assert [block.text for block in stopped.content if block.type == "text"] == ["This is the fake"]
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " engine")


async def test_streams(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as mine:
        async with mine.messages.stream(model=HF, max_tokens=99, messages=HELLO) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert text == ANSWER
        assert [block.text for block in final.content if block.type == "text"] == [ANSWER]
        assert final.stop_reason == "end_turn"
        assert final.usage.input_tokens > 5
        assert final.usage.output_tokens == len(ANSWER.split())


async def test_a_tool_is_called_and_its_result_sent_back(serve: Serve, client: Client) -> None:
    async with serve(FakeEngine(answer=CALL)) as served, client(served) as mine:
        answer = await mine.messages.create(
            model=HF, max_tokens=99, messages=HELLO, tools=TOOLS, tool_choice={"type": "any"}
        )
        (call,) = answer.content
        assert call.type == "tool_use"
        assert (call.name, call.input, answer.stop_reason) == ("get_weather", ARGUMENTS, "tool_use")
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sun."}
        back: Any = [
            *HELLO,
            {"role": "assistant", "content": answer.content},
            {"role": "user", "content": [result]},
        ]
        async with mine.messages.stream(model=HF, max_tokens=99, messages=back, tools=TOOLS) as stream:
            final = await stream.get_final_message()
        (streamed,) = final.content
        assert streamed.type == "tool_use"
        assert (streamed.input, final.stop_reason) == (ARGUMENTS, "tool_use")


async def test_errors(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as mine:
        with pytest.raises(anthropic.BadRequestError, match="No such model @cf/none or task"):
            await mine.messages.create(model="@cf/none", max_tokens=9, messages=HELLO)
        with pytest.raises(anthropic.AuthenticationError):
            await mine.with_options(api_key="nobody").messages.create(model=HF, max_tokens=9, messages=HELLO)


async def test_an_error_inside_a_stream_is_raised(serve: Serve, client: Client) -> None:
    engine = FakeEngine(endless=True, delay_s=0.005)
    async with serve(engine, limits={"request_deadline_s": 0.1}) as served, client(served) as mine:
        stream = await mine.messages.create(model=HF, max_tokens=999, messages=HELLO, stream=True)
        with pytest.raises(anthropic.APIError, match="Request timeout: not finished within"):
            _ = [event async for event in stream]
