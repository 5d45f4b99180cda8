"""Whatever JSON a body of these dialects is: it becomes a request, or a refusal that says why."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.cards import load_cards
from app.errors import BadInput, LoraUnsupported
from app.http.dialect import ParsedRequest
from app.http.dialects.anthropic_messages import MessagesDialect
from app.http.dialects.openai import OpenAiDialect
from app.http.dialects.openai_responses import ResponsesDialect
from app.http.padding import Padding
from app.inference.request import build_request
from app.settings import CHECKOUT
from tests.conftest import HF

CARDS = load_cards(CHECKOUT / "schemas")
REFUSALS = (BadInput, LoraUnsupported)
PADDING = Padding(enabled=False)
TURN = {"role": "user", "content": [{"type": "text", "text": "a"}]}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"name": "f", "description": "a", "parameters": {"type": "object", "properties": {}}}
CHAT = {
    "model": f"{HF}:pirate",
    "messages": [
        TURN,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "a"},
    ],
    "tools": [{"type": "function", "function": TOOL}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "stop": ["a"],
    "logprobs": True,
    "top_logprobs": 2,
    "n": 1,
    "ignore_eos": False,
    "min_tokens": 0,
    "max_completion_tokens": 3,
    "stream_options": {"include_usage": True},
}
COMPLETION = {"model": HF, "prompt": ["a"], "logprobs": 2, "best_of": 1, "stop": "a", "echo": False}
RESPONSES = {
    "model": HF,
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "a"},
    ],
    "instructions": "a",
    "tools": [{"type": "function", **TOOL}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
}
MESSAGES = {
    "model": HF,
    "max_tokens": 5,
    "system": [{"type": "text", "text": "a"}],
    "messages": [
        TURN,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "a"}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "f"},
    "stop_sequences": ["a"],
    "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
}
OPENAI = OpenAiDialect(PADDING)
DIALECTS: list[tuple[Callable[[Any], ParsedRequest], dict[str, Any]]] = [
    (OPENAI.parse_chat, CHAT),
    (OPENAI.parse_completion, COMPLETION),
    (ResponsesDialect(PADDING).parse, RESPONSES),
    (MessagesDialect(PADDING).parse, MESSAGES),
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=5), below, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(place for key, member in members for place in places(member, (*path, key)))]


def changed(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    body = deepcopy(body)
    holder = body
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return body


def understand(parse: Callable[[Any], ParsedRequest], body: Any) -> None:
    """As `app.http.text_generation.ServedModel.understand`."""
    asked = parse(body)
    card = CARDS[HF]
    branch = card.input.check(asked.body)
    build_request(card, branch, {**asked.body, **asked.unchecked}, asked.lora, asked.extras)


@pytest.mark.parametrize(("parse", "body"), DIALECTS, ids=["chat", "completion", "responses", "messages"])
def test_whole_bodies_are_understood(parse: Callable[[Any], ParsedRequest], body: dict[str, Any]) -> None:
    understand(parse, body)


@pytest.mark.parametrize(("parse", "body"), DIALECTS, ids=["chat", "completion", "responses", "messages"])
@given(data=st.data())
def test_any_value_anywhere(
    parse: Callable[[Any], ParsedRequest], body: dict[str, Any], data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(places(body)))
    mutilated = changed(body, place, data.draw(VALUES))
    with suppress(*REFUSALS):  # anything else would be answered with 500
        understand(parse, mutilated)


def test_a_body_that_could_not_be_written_again_is_refused() -> None:
    deep: Any = "a"
    for _ in range(300):
        deep = [deep]
    with pytest.raises(BadInput, match="'/' must nest at most 200 levels deep"):
        understand(ResponsesDialect(PADDING).parse, {**RESPONSES, "metadata": deep})
