"""`tool_choice` in every client's form."""

from typing import Any

import pytest

from app.errors import BadInput
from app.http.dialects.anthropic_messages import MessagesDialect
from app.http.dialects.openai import OpenAiDialect
from app.http.dialects.openai_responses import ResponsesDialect
from app.http.padding import Padding
from tests.conftest import HF

PADDING = Padding(enabled=False)
TURNS = [{"role": "user", "content": "Hello"}]
CHAT_TOOLS = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
FLAT_TOOLS = [{"type": "function", "name": name} for name in ("a", "b")]
NAMED = {"type": "function", "function": {"name": "a"}}


def chat(choice: Any) -> Any:
    body = {"model": HF, "messages": TURNS, "tools": CHAT_TOOLS, "tool_choice": choice}
    return OpenAiDialect(PADDING).parse_chat(body).unchecked


def response(choice: Any) -> Any:
    body = {"model": HF, "input": "Hello", "tools": FLAT_TOOLS, "tool_choice": choice}
    return ResponsesDialect(PADDING).parse(body).unchecked


def message(choice: Any) -> Any:
    body = {"model": HF, "messages": TURNS, "max_tokens": 9, "tool_choice": choice}
    return MessagesDialect(PADDING).parse(body).unchecked


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("any", "required"),
        ({"type": "any"}, "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none", "disable_parallel_tool_use": True}, "none"),
        ({"type": "tool", "name": "a"}, NAMED),
    ],
)
def test_one_form_in_every_dialect(choice: Any, wanted: Any) -> None:
    for read in (chat, response, message):
        assert read(choice)["tool_choice"] == wanted, read


def test_a_function_by_its_name() -> None:
    for choice in (NAMED, {"type": "function", "name": "a"}):
        assert chat(choice)["tool_choice"] == response(choice)["tool_choice"] == NAMED


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_some_are_allowed(mode: str) -> None:
    inner = {"mode": mode, "tools": [{"type": "function", "function": {"name": "b"}}]}
    assert chat({"type": "allowed_tools", "allowed_tools": inner}) == {
        "tools": [CHAT_TOOLS[1]],
        "tool_choice": mode,
    }
    flat = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "b"}]}
    assert response(flat) == {"tools": [{"name": "b"}], "tool_choice": mode}


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (
            {"type": "web_search"},
            "enum web_search not in auto,none,required,any,function,tool,allowed_tools at",
        ),
        ({"type": []}, "enum .* not in auto,none,.* at '/tool_choice/type'"),
        ({"type": "allowed_tools", "mode": "some", "tools": []}, "enum some not in auto,required at"),
        ({"type": "allowed_tools", "mode": "auto"}, "Type mismatch of '/tool_choice/tools', 'array'"),
        ({"type": "allowed_tools", "tools": [{"name": "c"}]}, "enum c not in a,b at '/tool_choice/tools/0'"),
        ({"type": "allowed_tools", "tools": [5]}, "enum null not in a,b at '/tool_choice/tools/0'"),
    ],
)
def test_refused(choice: Any, text: str) -> None:
    for read in (chat, response):
        with pytest.raises(BadInput, match=text):
            read(choice)


def test_what_is_no_choice_at_all_is_for_others_to_refuse() -> None:
    assert chat(5)["tool_choice"] == 5
    assert chat("all")["tool_choice"] == "all"
