"""Every answer and every event of the compatible dialects, held against what their packages publish of them.

Over a real socket with the fake engine: text, tools, JSON mode, log probabilities, length, stop texts, errors.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from app.engines.fake import FakeEngine
from tests.clients.node import CLIENTS
from tests.conftest import HF, Serve
from tests.http.dialects.published import ABSENT, faults
from tests.http.routes.test_compatible_apis import BODIES, ROOT, data_of
from tests.http.routes.test_openai_errors import FORMATS

pytestmark = pytest.mark.anyio

RESOURCES = CLIENTS / "node_modules" / "openai" / "resources"
DEFINITIONS = ("chat/completions/completions", "completions", "responses/responses", "shared", "models")
JAVASCRIPT = {"ChoiceDelta": "Delta"}
"""What the other package calls it."""
ANTHROPICS = ("ToolUseBlock",)
NEWER = ("input_transformations",)
"""Of OpenAI's package for Python, which came out later than that for JavaScript."""
TYPES: dict[str, tuple[Any, Any]] = {
    "chat/completions": (ChatCompletion, ChatCompletionChunk),
    "completions": (Completion, Completion),
    "responses": (Response, ResponseStreamEvent),
    "messages": (Message, RawMessageStreamEvent),
}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'
CITY = '{"city": "Berlin"}'
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "chat/completions": [CHAT_TOOL],
    "responses": [{"type": "function", "name": "get_weather", "parameters": PARAMETERS}],
    "messages": [{"name": "get_weather", "input_schema": PARAMETERS}],
}
LENGTH = {"responses": "max_output_tokens"}
STOP: dict[str, dict[str, Any]] = {
    "chat/completions": {"stop": [" engine", "x"]},
    "completions": {"stop": " engine"},
    "messages": {"stop_sequences": [" engine"]},
}
LOGPROBS: dict[str, list[dict[str, Any]]] = {
    "chat/completions": [{"logprobs": True}, {"logprobs": True, "top_logprobs": 2}],
    "completions": [{"logprobs": 0}, {"logprobs": 2}],
    "responses": [{"top_logprobs": 2}, {"include": ["message.output_text.logprobs"]}],
}
MORE: dict[str, list[dict[str, Any]]] = {
    "chat/completions": [
        {"stream_options": {"include_usage": True}, "user": "me", "service_tier": "auto"},
        {"temperature": 0, "top_p": 1, "n": 1, "seed": 7, "metadata": {"a": "b"}},
    ],
    "completions": [{"best_of": 1, "user": "me"}],
    "responses": [
        {"instructions": "Be kind.", "metadata": {"a": "b"}, "user": "me", "temperature": 0, "top_p": 0.5},
        {
            "metadata": 5,
            "user": 5,
            "safety_identifier": None,
            "prompt_cache_key": [],
            "reasoning": {"effort": "low"},
        },
        {"text": {"format": {"type": "text"}, "verbosity": "low"}, "store": True, "truncation": "auto"},
    ],
    "messages": [{"system": "Be kind.", "metadata": {"user_id": "me"}, "service_tier": "auto", "top_k": 3}],
}


def asked(path: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A name, what the engine says, and what a request has beside its own."""
    yield "text", "One two three", {}
    yield "nothing", "", {}
    yield "length", "One two three", {LENGTH.get(path, "max_tokens"): 2}
    yield "json", CITY, FORMATS[path]
    for index, more in enumerate(MORE[path]):
        yield f"more-{index}", "One two", more
    for index, more in enumerate(LOGPROBS.get(path, ())):
        yield f"logprobs-{index}", "One é two", more
    if path in STOP:
        yield "stop", "This is the engine of it", STOP[path]
    if path in TOOLS:
        yield "call", CALL, {"tools": TOOLS[path]}
        yield "calls", f"Let me see.\n{CALL}\n{CALL}", {"tools": TOOLS[path], "tool_choice": _auto(path)}
        yield "no call", "I know it.", {"tools": TOOLS[path]}


def _auto(path: str) -> Any:
    return {"type": "auto"} if path == "messages" else "auto"


CASES = [pytest.param(path, *case[1:], id=f"{path}-{case[0]}") for path in BODIES for case in asked(path)]


@pytest.mark.parametrize(("path", "answer", "more"), CASES)
async def test_answers_and_every_event(serve: Serve, path: str, answer: str, more: dict[str, Any]) -> None:
    whole, event = TYPES[path]
    body = {**BODIES[path], **more}
    async with serve(FakeEngine(answer=answer)) as served:
        reply = await served.client.post(f"{ROOT}/{path}", json=body)
        assert reply.status_code == 200, reply.text
        assert faults(whole, reply.json()) == []
        reply = await served.client.post(f"{ROOT}/{path}", json={**body, "stream": True})
        events = [orjson.loads(data) for data in data_of(reply.text) if data != "[DONE]"]
        assert len(events) > 1 or not answer
        assert [fault for one in events for fault in faults(event, one)] == []


@pytest.mark.parametrize("path", ["responses", "messages"])
async def test_the_error_that_ends_a_stream(serve: Serve, path: str) -> None:
    """Anthropic's has no place among the events of its package, which raises it before: test_error_objects.py."""
    async with serve() as served:
        body = {**BODIES[path], **FORMATS[path], "stream": True}
        *events, last = (await served.client.post(f"{ROOT}/{path}", json=body)).text[:-2].split("\n\n")
        assert last.startswith("event: error\n")
        checked = [*events, last] if path == "responses" else events
        for one in checked:
            assert faults(TYPES[path][1], orjson.loads(one.partition("data: ")[2])) == []


async def test_models(serve: Serve) -> None:
    async with serve() as served:
        listed = (await served.client.get(f"{ROOT}/models")).json()
        assert [fault for one in listed["data"] for fault in faults(Model, one)] == []
        assert faults(Model, (await served.client.get(f"{ROOT}/models/{HF}")).json()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda chunk: chunk["choices"][0].pop("finish_reason"), "finish_reason: missing of Choice"),
        (lambda chunk: chunk["choices"][0].pop("logprobs"), "logprobs: missing of Choice"),
        (lambda chunk: chunk.update(created=1.5), "created: 1.5 is no int"),
        (lambda chunk: chunk.update(object="chat"), "object: 'chat' is none of"),
        (lambda chunk: chunk.update(more=1), "more: ChatCompletionChunk has no such field"),
        (lambda chunk: chunk["choices"][0].update(index=True), "index: True is no int"),
    ],
)
def test_the_judge_itself(change: Any, fault: str) -> None:
    choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
    chunk = {"id": "a", "created": 1, "model": "m", "object": "chat.completion.chunk", "choices": [choice]}
    assert faults(ChatCompletionChunk, chunk) == []
    change(chunk)
    (found,) = faults(ChatCompletionChunk, chunk)
    assert fault in found


def test_what_may_be_absent_is_optional_in_openais_definition() -> None:
    """Python's types can't tell an optional field from one that is null: those of the package for JavaScript can."""
    text = "\n".join((RESOURCES / f"{file}.d.ts").read_text("utf-8") for file in DEFINITIONS)
    text = re.sub(r"/\*\*.*?\*/", "", text, flags=re.DOTALL)
    for name, fields in ABSENT.items():
        if name in ANTHROPICS:
            continue
        interface = re.compile(
            rf"^( *)(?:export )?interface {JAVASCRIPT.get(name, name)}\b[^{{]*\{{\n(.*?)^\1\}}",
            re.MULTILINE | re.DOTALL,
        )
        bodies = [found[2] for found in interface.finditer(text)]
        assert bodies, name
        for field in fields.difference(NEWER):
            assert any(re.search(rf"^ +{field}\?:", body, re.MULTILINE) for body in bodies), (name, field)
