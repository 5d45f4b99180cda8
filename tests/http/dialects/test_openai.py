"""Bodies of OpenAI's chat and completions as the card's own form."""

from typing import Any

import pytest

from app.errors import BadInput
from app.http.dialect import ParsedRequest
from app.http.dialects.openai import OpenAiDialect
from app.http.padding import Padding
from app.inference.request import Extras
from tests.conftest import HF

DIALECT = OpenAiDialect(Padding(enabled=False))
HELLO = [{"role": "user", "content": "Hello"}]


def chat(**more: Any) -> ParsedRequest:
    return DIALECT.parse_chat({"model": HF, "messages": HELLO, **more})


def completion(**more: Any) -> ParsedRequest:
    return DIALECT.parse_completion({"model": HF, "prompt": "Hello", **more})


def content(value: Any, **more: Any) -> Any:
    return chat(messages=[{"role": "user", "content": value, **more}]).body["messages"][0]["content"]


def test_the_least_body() -> None:
    asked = chat()
    assert (asked.model, asked.body, asked.lora, asked.extras) == (
        HF,
        {"messages": HELLO},
        None,
        Extras(may_be_cut=True),
    )
    assert completion().body == {"prompt": "Hello", "raw": True}


def test_an_adapter_behind_the_model() -> None:
    asked = DIALECT.parse_chat({"model": f"{HF}:pirate", "messages": HELLO, "lora": "json"})
    assert (asked.model, asked.lora, asked.body["lora"]) == (HF, "pirate", "json")
    assert chat(model=f"{HF}:").lora is None


def test_fields_of_the_card_are_copied_as_they_are() -> None:
    fields = {"temperature": "hot", "top_p": 0.5, "seed": 3, "frequency_penalty": 1, "presence_penalty": 1}
    assert chat(**fields).body == {"messages": HELLO, **fields}
    assert chat(stream=True, top_k=3).body == {"messages": HELLO, "stream": True, "top_k": 3}


def test_nulls_and_what_changes_nothing_are_left_out() -> None:
    nulls = dict.fromkeys(
        ("temperature", "stop", "n", "tools", "tool_choice", "response_format", "logprobs", "stream_options")
    )
    asked = chat(**nulls, user="me", metadata={}, store=True, parallel_tool_calls=True, logit_bias={})
    assert (asked.body, asked.unchecked, asked.extras) == ({"messages": HELLO}, {}, Extras(may_be_cut=True))


def test_one_call_at_most() -> None:
    assert chat(parallel_tool_calls=False).extras == Extras(one_call=True, may_be_cut=True)


def test_completions_in_json_and_without_tools() -> None:
    wanted = {"type": "json_object"}
    assert completion(response_format=wanted).unchecked == {"response_format": wanted}
    assert completion(response_format={"type": "text"}).unchecked == {}
    with pytest.raises(BadInput, match="'/tools' is not supported: send messages to chat/completions"):
        completion(tools=[{}])


def test_the_newer_name_of_max_tokens_wins() -> None:
    assert chat(max_tokens=1, max_completion_tokens=2).body["max_tokens"] == 2
    assert chat(max_tokens=1, max_completion_tokens=None).body["max_tokens"] == 1
    assert chat(max_tokens="many").body["max_tokens"] == "many"


def test_contents() -> None:
    parts = [{"type": "text", "text": text} for text in ("One", "", "two")]
    assert content(parts) == "One\n\ntwo"
    assert content(None) == ""
    assert content(5) == 5


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "image_url"}, "enum image_url not in text at '/messages/0/content/0/type'"),
        ({"type": "text"}, "Type mismatch of '/messages/0/content/0/text', 'string' not in 'null'"),
        ("text", "Type mismatch of '/messages/0/content/0', 'object' not in 'string'"),
    ],
)
def test_parts_that_are_no_text(part: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        content([part])


def test_turns() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = [
        {"role": "developer", "content": "Be kind."},
        {"role": "assistant", "tool_calls": calls, "refusal": None, "name": "me"},
        {"role": "tool", "tool_call_id": "a", "content": "5"},
        {"role": "user"},
        "no turn",
    ]
    assert chat(messages=turns).body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "tool_calls": calls, "content": ""},
        {"role": "tool", "tool_call_id": "a", "content": "5"},
        {"role": "user"},
        "no turn",
    ]
    assert chat(messages="Hello").body["messages"] == "Hello"


def test_stop() -> None:
    assert chat(stop="END").extras.stop == ("END",)
    assert completion(stop=["a", "b", "c", "d"]).extras.stop == ("a", "b", "c", "d")
    assert chat(stop=[]).extras.stop == ()


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (["a"] * 17, "Length of '/stop' must be <= 16"),
        ("", "Length of '/stop/0' must be >= 1 not met"),
        (["a" * 257], "Length of '/stop/0' must be <= 256"),
        ([5], "Type mismatch of '/stop/0', 'string' not in 'number','integer'"),
        (5, "Type mismatch of '/stop', 'array' not in 'number','integer'"),
    ],
)
def test_stops_that_are_refused(stop: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        chat(stop=stop)


def test_logprobs() -> None:
    assert chat(logprobs=True).extras.logprobs == 0
    assert chat(logprobs=True, top_logprobs=20).extras.logprobs == 20
    assert chat(logprobs=False, top_logprobs=0).extras.logprobs is None
    assert completion(logprobs=0).extras.logprobs == 0
    assert completion(logprobs=None).extras.logprobs is None


@pytest.mark.parametrize("parse", [chat, completion])
def test_vllms_own_fields(parse: Any) -> None:
    extras = parse(ignore_eos=True, min_tokens=7).extras
    assert (extras.ignore_eos, extras.min_tokens) == (True, 7)
    assert parse(ignore_eos=None, min_tokens=None).extras == Extras(may_be_cut=True)
    assert parse(ignore_eos=False, min_tokens=0).extras == Extras(may_be_cut=True)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"ignore_eos": 1}, "Type mismatch of '/ignore_eos', 'boolean' not in 'number','integer'"),
        ({"min_tokens": True}, "Type mismatch of '/min_tokens', 'integer' not in 'boolean'"),
        ({"min_tokens": 1.5}, "Type mismatch of '/min_tokens', 'integer' not in 'number'"),
        ({"min_tokens": -1}, "'/min_tokens' must be >= 0"),
    ],
)
def test_vllms_own_fields_that_are_refused(fields: dict[str, Any], text: str) -> None:
    for parse in (chat, completion):
        with pytest.raises(BadInput, match=f"Error: {text}"):
            parse(**fields)


def test_tools_and_formats_are_not_the_cards_to_check() -> None:
    tools = [{"type": "function", "function": {"name": "now"}}]
    wrapped = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    asked = chat(tools=tools, tool_choice="auto", response_format=wrapped)
    assert asked.unchecked == {"tools": tools, "tool_choice": "auto", "response_format": wrapped}
    assert chat(response_format={"type": "text"}).unchecked == {}


def test_prompts_of_completions() -> None:
    assert completion(prompt=["Hello"]).body["prompt"] == "Hello"
    assert completion(prompt=5).body["prompt"] == 5
    assert completion(raw=False).body["raw"] is False


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"model": 5}, "Type mismatch of '/model', 'string' not in 'number','integer'"),
        ({"messages": None}, "required properties at '/' are 'model,messages'"),
        ({"n": 2}, "'/n' must be 1: one request gives one answer"),
        ({"n": "1"}, "Type mismatch of '/n', 'integer' not in 'string'"),
        ({"n": True}, "Type mismatch of '/n', 'integer' not in 'boolean'"),
        ({"logit_bias": {"50256": -100}}, "'/logit_bias' is not supported: leave it out"),
        ({"functions": [{"name": "f"}]}, "'/functions' is not supported: send tools"),
        ({"audio": {"voice": "a"}}, "'/audio' is not supported: only text is served"),
        ({"logprobs": 1}, "Type mismatch of '/logprobs', 'boolean' not in 'number','integer'"),
        ({"logprobs": True, "top_logprobs": 21}, "'/top_logprobs' must be <= 20"),
        ({"logprobs": True, "top_logprobs": -1}, "'/top_logprobs' must be >= 0"),
        ({"top_logprobs": 2}, "'/top_logprobs' needs '/logprobs' to be true"),
        ({"stream_options": 5}, "Type mismatch of '/stream_options', 'object' not in 'number','integer'"),
    ],
)
def test_chats_that_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=f"Error: {text}"):
        chat(**fields)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"prompt": None}, "required properties at '/' are 'model,prompt'"),
        ({"prompt": ["a", "b"]}, "'/prompt' is not supported: send one text"),
        ({"prompt": [1, 2]}, "'/prompt' is not supported: send one text"),
        ({"best_of": 2}, "'/best_of' must be 1"),
        ({"n": 3}, "'/n' must be 1"),
        ({"echo": True}, "'/echo' is not supported: the answer has the new text alone"),
        ({"suffix": "!"}, "'/suffix' is not supported"),
        ({"logprobs": 21}, "'/logprobs' must be <= 20"),
    ],
)
def test_completions_that_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=f"Error: {text}"):
        completion(**fields)


@pytest.mark.parametrize("body", [None, [], "Hello", 5, {}, {"model": HF}, {"messages": HELLO}])
def test_bodies_of_no_use(body: Any) -> None:
    with pytest.raises(BadInput, match="required properties at '/' are 'model,messages'"):
        DIALECT.parse_chat(body)
