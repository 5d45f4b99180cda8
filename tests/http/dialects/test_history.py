"""What conversations bring along: read, left out, or refused; nothing that packages can send is unknown."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from anthropic.types import ContentBlockParam
from openai.types.responses import ResponseInputItemParam

from app.errors import BadInput
from app.http.dialects.anthropic_messages import BLOCKS, MessagesDialect
from app.http.dialects.history import DROPPED_BLOCKS, DROPPED_ITEMS, REFUSED_ITEMS
from app.http.dialects.openai import read_messages
from app.http.dialects.openai_responses import ITEMS, ResponsesDialect
from app.http.padding import Padding
from tests.conftest import HF

RESPONSES = ResponsesDialect(Padding(enabled=False))
MESSAGES = MessagesDialect(Padding(enabled=False))
SHOWN = {"image", "document", "search_result"}
"""By a user: an answer that knows nothing of it would be wrong."""
USER = {"role": "user", "content": "And?"}


def kinds_of(union: Any) -> Iterator[str]:
    """The constant `type` of each member."""
    for member in get_args(union):
        hint = get_type_hints(member)["type"]
        while get_origin(hint) is not Literal:
            hint = get_args(hint)[0]
        yield from get_args(hint)


def test_every_item_and_block_of_the_packages_has_its_place() -> None:
    assert set(kinds_of(ResponseInputItemParam)) == {*ITEMS, *DROPPED_ITEMS, *REFUSED_ITEMS}
    assert set(kinds_of(ContentBlockParam)) <= {*BLOCKS, *DROPPED_BLOCKS, *SHOWN}


def responses(*items: Any) -> Any:
    return RESPONSES.parse({"model": HF, "input": list(items)}).body["messages"]


def messages(*blocks: Any) -> Any:
    turns = [{"role": "assistant", "content": list(blocks)}, USER]
    return MESSAGES.parse({"model": HF, "max_tokens": 9, "messages": turns}).body["messages"]


@pytest.mark.parametrize("kind", sorted(DROPPED_ITEMS))
def test_items_that_are_left_out(kind: str) -> None:
    item = {"type": kind, "id": "x_1", "status": "completed", "action": {"type": "search", "query": "a"}}
    assert responses(USER, item, USER) == [USER, USER]


@pytest.mark.parametrize("kind", sorted(REFUSED_ITEMS))
def test_items_without_which_the_answer_would_be_another(kind: str) -> None:
    with pytest.raises(BadInput, match="'/input/1' is not supported: send "):
        responses(USER, {"type": kind, "id": "x_1"})


@pytest.mark.parametrize("kind", sorted(DROPPED_BLOCKS))
def test_blocks_that_are_left_out(kind: str) -> None:
    assert messages({"type": kind, "id": "x", "content": []}, {"type": "text", "text": "Sun."}) == [
        {"role": "assistant", "content": "Sun."},
        USER,
    ]
    assert messages({"type": kind}) == [USER]


@pytest.mark.parametrize("kind", sorted(SHOWN))
def test_what_a_user_shows_is_not_left_out(kind: str) -> None:
    with pytest.raises(BadInput, match=f"enum {kind} not in text,tool_use,tool_result"):
        messages({"type": kind})


def test_custom_tools_are_functions_of_a_text() -> None:
    call = {"type": "custom_tool_call", "call_id": "a", "name": "sql", "input": "select 1"}
    output = {"type": "custom_tool_call_output", "call_id": "a", "output": "1"}
    (asked, answered) = responses(call, output)
    assert asked["tool_calls"][0]["function"] == {"name": "sql", "arguments": {"input": "select 1"}}
    assert answered == {"role": "tool", "tool_call_id": "a", "content": "1"}
    chat_call = {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    other = {"id": "b", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    (turn,) = read_messages([{"role": "assistant", "tool_calls": [chat_call, other, 5, {"type": "custom"}]}])
    assert turn["tool_calls"] == [asked["tool_calls"][0], other, 5, {"type": "custom"}]


def test_refusals_are_what_was_said() -> None:
    refused = {"type": "refusal", "refusal": "I can't."}
    said = {"role": "assistant", "content": "I can't."}
    assert responses({"type": "message", "role": "assistant", "content": [refused]}) == [said]
    assert read_messages([{"role": "assistant", "content": [refused]}]) == [said]
    assert read_messages([{"role": "assistant", "content": None, "refusal": "I can't."}]) == [said]
    assert read_messages([{**said, "refusal": None, "annotations": [], "audio": None}]) == [said]
    with pytest.raises(BadInput, match="enum refusal not in text"):
        read_messages([{"role": "user", "content": [refused]}])


def test_thoughts_of_other_models_are_left_out() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Sun."},
    ]
    assert read_messages([{"role": "assistant", "content": parts, "reasoning_content": "Hm."}]) == [
        {"role": "assistant", "content": "Sun."}
    ]


def test_calls_from_before_there_were_tools() -> None:
    call = {"name": "now", "arguments": "{}"}
    asked, answered = read_messages(
        [
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "now", "content": "noon"},
        ]
    )
    assert asked["tool_calls"] == [{"id": "now", "type": "function", "function": call}]
    assert answered == {"role": "tool", "content": "noon"}


@pytest.mark.parametrize("kind", [[], {}, 5, None, True])
def test_a_type_that_is_none(kind: Any) -> None:
    for parse in (responses, messages):
        with pytest.raises(BadInput):
            parse({"type": kind, "content": 5})
