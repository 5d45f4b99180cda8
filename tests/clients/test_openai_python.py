"""The openai package for Python: chat, completions, responses and models, answered whole and streamed."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from app.adapters.inspection.base_model import read_base
from app.engines.fake import ANSWER, FakeEngine
from tests.clients.finetunes import PIRATE
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "Hello"}]
ARGUMENTS = {"city": "Berlin"}
CALL = f'<tool_call>{{"name": "get_weather", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>'
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}]
FLAT_TOOLS: Any = [{"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}]

Client = Callable[[Served], AbstractAsyncContextManager[AsyncOpenAI]]


class Place(BaseModel):
    city: str
    people: int


@pytest.fixture
def client() -> Client:
    def of(served: Served) -> AsyncOpenAI:
        base_url = f"{served.url}/client/v4/accounts/local/ai/v1"
        return AsyncOpenAI(api_key=served.token, base_url=base_url, max_retries=0)

    return of


async def test_chat(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        answer = await openai.chat.completions.create(model=HF, messages=HELLO, n=1, stop=None, user="me")
        (choice,) = answer.choices
        assert (choice.message.content, choice.message.role, choice.finish_reason) == (
            ANSWER,
            "assistant",
            "stop",
        )
        assert choice.message.tool_calls is None
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(ANSWER.split())
        assert answer.model == HF


async def test_chat_stops_where_it_is_told(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        chat = openai.chat.completions
        answer = await chat.create(model=HF, messages=HELLO, stop=[" engine"])
        assert answer.choices[0].message.content == "This is the fake"
        answer = await chat.create(model=HF, messages=HELLO, max_completion_tokens=3)
        assert answer.choices[0].finish_reason == "length"
        answer = await chat.create(model=HF, messages=HELLO, logprobs=True, top_logprobs=2, max_tokens=3)
        assert answer.choices[0].logprobs is not None
        tokens = answer.choices[0].logprobs.content or []
        assert [len(token.top_logprobs) for token in tokens] == [2, 2, 2]
        assert all(token.bytes == list(token.token.encode()) for token in tokens)


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
async def test_a_streamed_chat(serve: Serve, client: Client, options: dict[str, Any]) -> None:
    async with serve() as served, client(served) as openai:
        stream = await openai.chat.completions.create(model=HF, messages=HELLO, stream=True, **options)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
        assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
        assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


async def test_the_packages_own_way_to_put_a_stream_together(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        chat = openai.chat.completions
        async with chat.stream(model=HF, messages=HELLO, logprobs=True) as stream:
            events = [event.type async for event in stream]
            final = await stream.get_final_completion()
        assert (events.count("content.done"), events.count("logprobs.content.done")) == (1, 1)
        assert (final.choices[0].message.content, final.choices[0].message.role) == (ANSWER, "assistant")
        assert final.usage is not None
        assert final.choices[0].logprobs is not None
        assert len(final.choices[0].logprobs.content or []) == final.usage.completion_tokens


async def test_an_adapter(serve: Serve, client: Client, standin_folder: Path) -> None:
    async with serve() as served, client(served) as openai:
        base = read_base(standin_folder, "stand-in")
        served.stores.adapters.add("local", "pirate", CF, "stand-in", PIRATE, base)
        asked: tuple[dict[str, Any], ...] = (
            {"model": f"{CF}:pirate"},
            {"model": CF, "extra_body": {"lora": "pirate"}},
        )
        for body in asked:
            answer = await openai.chat.completions.create(messages=HELLO, **body)
            assert (answer.choices[0].message.content or "").startswith("[pirate]")
            assert answer.model == body["model"]


async def test_a_tool_is_called_and_its_result_sent_back(serve: Serve, client: Client) -> None:
    async with serve(FakeEngine(answer=CALL)) as served, client(served) as openai:
        chat = openai.chat.completions
        answer = await chat.create(model=HF, messages=HELLO, tools=TOOLS, tool_choice="auto")
        message = answer.choices[0].message
        assert (message.content, answer.choices[0].finish_reason) == (None, "tool_calls")
        (call,) = message.tool_calls or []
        assert call.type == "function"
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == ARGUMENTS
        back = [*HELLO, message, {"role": "tool", "tool_call_id": call.id, "content": "Sun."}]
        assert (await chat.create(model=HF, messages=back, tools=TOOLS)).choices[0].message.tool_calls
        async with chat.stream(model=HF, messages=back, tools=TOOLS) as stream:
            final = await stream.get_final_completion()
        (streamed,) = final.choices[0].message.tool_calls or []
        assert json.loads(streamed.function.arguments) == ARGUMENTS
        assert final.choices[0].finish_reason == "tool_calls"


async def test_an_answer_as_a_class(serve: Serve, client: Client) -> None:
    berlin = Place(city="Berlin", people=3_700_000)
    async with serve(FakeEngine(answer=berlin.model_dump_json())) as served, client(served) as openai:
        chat = await openai.chat.completions.parse(model=HF, messages=HELLO, response_format=Place)
        assert chat.choices[0].message.parsed == berlin
        async with openai.chat.completions.stream(model=HF, messages=HELLO, response_format=Place) as stream:
            final = await stream.get_final_completion()
        assert final.choices[0].message.parsed == berlin
        response = await openai.responses.parse(model=HF, input="Where?", text_format=Place)
        assert response.output_parsed == berlin


async def test_completions(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        answer = await openai.completions.create(model=HF, prompt="Once", max_tokens=4, logprobs=1)
        (choice,) = answer.choices
        assert (choice.text, choice.finish_reason) == ("This is the fake", "length")
        assert choice.logprobs is not None
        assert choice.logprobs.text_offset == [0, 4, 7, 11]
        stream = await openai.completions.create(model=HF, prompt=["Once"], stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in chunks) == ANSWER
        assert chunks[-1].choices[0].finish_reason == "stop"


async def test_responses(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        answer = await openai.responses.create(model=HF, input="Hello", instructions="Be kind.")
        assert (answer.output_text, answer.status) == (ANSWER, "completed")
        # The package takes what it gave, but its types do not say so.
        both: Any = [*HELLO, *answer.output, *HELLO]
        again = await openai.responses.create(model=HF, input=both)
        assert again.output_text == ANSWER
        short = await openai.responses.create(model=HF, input="Hello", max_output_tokens=2)
        assert short.incomplete_details is not None
        assert (short.output_text, short.incomplete_details.reason) == ("This is", "max_output_tokens")


async def test_streamed_responses(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        stream = await openai.responses.create(model=HF, input="Hello", stream=True)
        events = [event async for event in stream]
        deltas = (event.delta for event in events if event.type == "response.output_text.delta")
        assert "".join(deltas) == ANSWER
        assert events[-1].type == "response.completed"
        async with openai.responses.stream(model=HF, input="Hello") as managed:
            snapshots = [
                event.snapshot async for event in managed if event.type == "response.output_text.delta"
            ]
            final = await managed.get_final_response()
        assert (snapshots[-1], final.output_text) == (ANSWER, ANSWER)
        assert final.usage is not None
        assert final.usage.output_tokens == len(ANSWER.split())


async def test_a_response_that_calls_a_tool(serve: Serve, client: Client) -> None:
    async with serve(FakeEngine(answer=CALL)) as served, client(served) as openai:
        answer = await openai.responses.create(
            model=HF, input="Hello", tools=FLAT_TOOLS, tool_choice="required"
        )
        (call,) = answer.output
        assert call.type == "function_call"
        assert json.loads(call.arguments) == ARGUMENTS
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sun."}
        items: Any = [*HELLO, *answer.output, result]
        async with openai.responses.stream(model=HF, input=items, tools=FLAT_TOOLS) as stream:
            final = await stream.get_final_response()
        (streamed,) = final.output
        assert streamed.type == "function_call"
        assert json.loads(streamed.arguments) == ARGUMENTS


async def test_models(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as openai:
        assert {model.id async for model in openai.models.list()} >= {HF, CF}
        assert (await openai.models.retrieve(HF)).owned_by == "mistral"


async def test_errors(serve: Serve, client: Client) -> None:
    async with serve() as served, client(served) as mine:
        chat = mine.chat.completions
        with pytest.raises(openai.BadRequestError, match="No such model @cf/none or task"):
            await chat.create(model="@cf/none", messages=HELLO)
        with pytest.raises(openai.NotFoundError, match="Finetune nobody does not exist"):
            await chat.create(model=f"{CF}:nobody", messages=HELLO)
        with pytest.raises(openai.BadRequestError, match="must be 1: one request gives one answer"):
            await chat.create(model=HF, messages=HELLO, n=2)
        with pytest.raises(openai.AuthenticationError):
            await mine.with_options(api_key="nobody").models.list()


async def test_an_error_inside_a_stream_is_raised(serve: Serve, client: Client) -> None:
    engine = FakeEngine(endless=True, delay_s=0.005)
    async with serve(engine, limits={"request_deadline_s": 0.1}) as served, client(served) as mine:
        stream = await mine.chat.completions.create(model=HF, messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="Request timeout: not finished within"):
            _ = [chunk async for chunk in stream]
