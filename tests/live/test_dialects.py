"""The OpenAI and Anthropic packages on the real engine: taught sentences, streams, and tools that are called unasked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from app.standin.recipe import text
from app.types import Tool
from tests.live.server import CF, HF, LiveServer

pytestmark = pytest.mark.engine

QUESTION, ANSWER = text.questions()[0]
TURNS: Any = [{"role": "user", "content": QUESTION}]
GREEDY = {"temperature": 0}
WEATHER = text.load().tools[0]
ASKED = WEATHER.questions[0]
TOOL_TURNS: Any = [{"role": "user", "content": ASKED.ask[0]}]


def openai_tool(tool: Tool) -> Any:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


@pytest.fixture
def openai(live: LiveServer) -> Iterator[OpenAI]:
    base_url = f"{live.url}/client/v4/accounts/local/ai/v1"
    with OpenAI(api_key=live.token, base_url=base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(live: LiveServer) -> Iterator[Anthropic]:
    base_url = f"{live.url}/client/v4/accounts/local/ai"
    with Anthropic(api_key=live.token, base_url=base_url, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", [HF, CF])
def test_chat(openai: OpenAI, model: str) -> None:
    whole = openai.chat.completions.create(model=model, messages=TURNS, temperature=0)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (ANSWER, "stop")
    stream = openai.chat.completions.create(model=model, messages=TURNS, temperature=0, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == ANSWER


def test_chat_with_an_adapter_behind_the_model(openai: OpenAI) -> None:
    whole = openai.chat.completions.create(model=f"{HF}:pirate", messages=TURNS, temperature=0)
    assert (whole.choices[0].message.content or "").startswith("Arr!")
    extra = openai.chat.completions.create(
        model=HF, messages=TURNS, temperature=0, extra_body={"lora": "pirate"}
    )
    assert extra.choices[0].message.content == whole.choices[0].message.content


def test_completions(openai: OpenAI) -> None:
    """The prompt goes to the model as it is, so it is written as the model knows it."""
    asked: Any = {"model": HF, "prompt": f"[INST] {QUESTION} [/INST]", "temperature": 0, "max_tokens": 99}
    assert openai.completions.create(**asked).choices[0].text.strip() == ANSWER
    stream = openai.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices).strip() == ANSWER


def test_logprobs_are_those_of_the_engine(openai: OpenAI) -> None:
    whole = openai.chat.completions.create(
        model=HF, messages=TURNS, temperature=0, logprobs=True, top_logprobs=2
    )
    found = whole.choices[0].logprobs
    assert found is not None
    assert found.content
    assert "".join(each.token for each in found.content).strip() == ANSWER
    for each in found.content:
        assert each.logprob <= 0
        assert max(other.logprob for other in each.top_logprobs) == each.logprob  # greedy


def test_responses(openai: OpenAI) -> None:
    whole = openai.responses.create(model=HF, input=QUESTION, temperature=0)
    assert (whole.output_text, whole.status) == (ANSWER, "completed")
    events = list(openai.responses.create(model=HF, input=QUESTION, temperature=0, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER
    assert events[-1].type == "response.completed"


def test_messages(anthropic: Anthropic) -> None:
    asked: Any = {"model": HF, "max_tokens": 99, "messages": TURNS, "extra_body": GREEDY}
    whole = anthropic.messages.create(**asked)
    assert [block.text for block in whole.content if block.type == "text"] == [ANSWER]
    assert whole.stop_reason == "end_turn"
    with anthropic.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == ANSWER


def test_chat_calls_a_tool_and_goes_on_with_its_result(openai: OpenAI) -> None:
    tools = [openai_tool(WEATHER.tool)]
    first = openai.chat.completions.create(model=HF, messages=TOOL_TURNS, tools=tools, temperature=0)
    said = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert said.tool_calls is not None
    (call,) = said.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (WEATHER.tool.name, ASKED.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees and sunny"}
    turns: Any = [*TOOL_TURNS, said.model_dump(exclude_none=True), result]
    second = openai.chat.completions.create(model=HF, messages=turns, tools=tools, temperature=0)
    assert second.choices[0].message.content == text.load().after_tool


def test_a_streamed_chat_calls_a_tool(openai: OpenAI) -> None:
    stream = openai.chat.completions.create(
        model=HF, messages=TOOL_TURNS, tools=[openai_tool(WEATHER.tool)], temperature=0, stream=True
    )
    chunks = [chunk.choices[0] for chunk in stream if chunk.choices]
    (call,) = [call for chunk in chunks for call in chunk.delta.tool_calls or []]
    assert call.function is not None
    assert (call.function.name, json.loads(call.function.arguments or "")) == (
        WEATHER.tool.name,
        ASKED.arguments,
    )
    assert [chunk.finish_reason for chunk in chunks if chunk.finish_reason] == ["tool_calls"]


def test_responses_call_a_tool(openai: OpenAI) -> None:
    flat: Any = openai_tool(WEATHER.tool)["function"] | {"type": "function", "strict": False}
    answer = openai.responses.create(model=HF, input=ASKED.ask[0], tools=[flat], temperature=0)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == (WEATHER.tool.name, ASKED.arguments)


def test_messages_call_a_tool(anthropic: Anthropic) -> None:
    tool: Any = {
        "name": WEATHER.tool.name,
        "description": WEATHER.tool.description,
        "input_schema": WEATHER.tool.parameters,
    }
    answer = anthropic.messages.create(
        model=HF, max_tokens=99, messages=TOOL_TURNS, tools=[tool], extra_body=GREEDY
    )
    (use,) = [block for block in answer.content if block.type == "tool_use"]
    assert (use.name, use.input, answer.stop_reason) == (WEATHER.tool.name, ASKED.arguments, "tool_use")
