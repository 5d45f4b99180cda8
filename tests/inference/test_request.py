import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mistral_common.protocol.instruct.chunk import TextChunk
from mistral_common.protocol.instruct.messages import UserMessage
from mistral_common.protocol.instruct.normalize import InstructRequestNormalizer
from mistral_common.protocol.instruct.request import ChatCompletionRequest

from app.catalog.cards import ModelCard, load_cards
from app.catalog.validate import Branch
from app.errors import BadInput, LoraUnsupported
from app.inference.request import NO_EXTRAS, Extras, build_request
from app.types import JsonFormat, Message, TextRequest, Tool, ToolCall

ROOT = Path(__file__).parents[2]
CARDS = load_cards(ROOT / "schemas")
HF = CARDS["@hf/mistral/mistral-7b-instruct-v0.2"]
CF = CARDS["@cf/mistral/mistral-7b-instruct-v0.2-lora"]
CASES = [
    json.loads(line) for line in (ROOT / "tests/fixtures/validation-cases.jsonl").read_text().splitlines()
]
REFUSED = "Error: oneOf at '/' not met, 0 matches: "

ok = {"role": "user", "content": "a"}
both = pytest.mark.parametrize("card", [HF, CF], ids=["hf", "cf"])


def built(card: ModelCard, body: dict[str, Any], query_lora: str | None = None) -> TextRequest:
    return build_request(card, card.input.check(body), body, query_lora)


def refusal(card: ModelCard, body: dict[str, Any], extras: Extras = NO_EXTRAS) -> str:
    branch = card.input.check(body)
    with pytest.raises(BadInput) as refused:
        build_request(card, branch, body, extras=extras)
    return str(refused.value).removeprefix(REFUSED)


def open_branch(name: str, *properties: str) -> Branch:
    """A branch of a laxer card: it types these properties only."""
    return replace(CF.input.branches[1], name=name, properties=frozenset(properties))


@both
def test_prompt(card: ModelCard) -> None:
    request = built(card, {"prompt": "hello", "raw": True, "stream": True, "lora": "x", "max_tokens": 5.0})
    assert (request.prompt, request.messages) == ("hello", None)
    assert (request.raw, request.stream, request.lora) == (True, True, "x")
    assert request.sampling.max_tokens == 5
    assert (request.json_format, request.tools) == (None, ())


@both
def test_messages(card: ModelCard) -> None:
    body = {"messages": [ok, {"role": "wizard", "content": ""}], "temperature": 5, "prompt": 5}
    request = built(card, body)
    assert request.prompt is None
    assert request.messages == (Message("user", "a"), Message("wizard", ""))
    assert (request.raw, request.stream, request.lora) == (False, False, None)
    assert request.sampling.temperature == 5.0


@both
def test_the_branch_that_matched_decides(card: ModelCard) -> None:
    assert built(card, {"prompt": "a", "messages": [{}]}).prompt == "a"
    assert built(card, {"prompt": 5, "messages": [ok]}).messages == (Message("user", "a"),)


NOT_SERVED = {
    "max_tokens": {0, -1},
    "messages": [[]],
    "lora": [5, ["x"], {}],
    "raw": [],
    "response_format": ["json"],
    "tools": [[{}], [{"type": "function"}]],
}


@pytest.mark.parametrize("case", [case for case in CASES if case["valid"]])
def test_every_valid_case_is_served_or_refused_for_a_listed_reason(case: dict[str, Any]) -> None:
    body = case["input"]
    reasons = [name for name, values in NOT_SERVED.items() if name in body and any_of(body[name], values)]
    if reasons:
        assert f"'/{reasons[0]}" in refusal(CARDS[case["model"]], body)
    else:
        assert isinstance(built(CARDS[case["model"]], body), TextRequest)


def any_of(value: Any, values: Any) -> bool:
    return any(value == other for other in values)


@both
@pytest.mark.parametrize("max_tokens", [0, -1, -0.0, -1e308])
def test_max_tokens_below_1(card: ModelCard, max_tokens: float) -> None:
    for body in ({"prompt": "a"}, {"messages": [ok]}):
        assert refusal(card, body | {"max_tokens": max_tokens}) == "'/max_tokens' must be >= 1"


@both
def test_vllms_own_fields_reach_the_engine(card: ModelCard) -> None:
    body = {"messages": [ok], "max_tokens": 5}
    request = build_request(card, card.input.check(body), body, extras=Extras(ignore_eos=True, min_tokens=5))
    assert (request.sampling.ignore_eos, request.sampling.min_tokens) == (True, 5)


@both
def test_no_more_min_tokens_than_max_tokens(card: ModelCard) -> None:
    assert (
        refusal(card, {"prompt": "a", "max_tokens": 5}, Extras(min_tokens=6)) == "'/min_tokens' must be <= 5"
    )
    assert refusal(card, {"prompt": "a"}, Extras(min_tokens=257)) == "'/min_tokens' must be <= 256"


@both
@pytest.mark.parametrize("extras", [Extras(ignore_eos=True), Extras(min_tokens=1)])
def test_a_grammar_ends_its_answer_itself(card: ModelCard, extras: Extras) -> None:
    name = "ignore_eos" if extras.ignore_eos else "min_tokens"
    text = f"'/{name}' does not go with tools or an answer in JSON: leave it out"
    tools = [{"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}]
    for more in ({"response_format": {"type": "json_object"}}, {"tools": tools}):
        assert refusal(card, {"messages": [ok], **more}, extras) == text


@both
def test_an_empty_conversation(card: ModelCard) -> None:
    assert refusal(card, {"messages": []}) == "Length of '/messages' must be >= 1 not met"


@both
def test_a_refusal_has_the_code_of_the_schemas(card: ModelCard) -> None:
    with pytest.raises(BadInput) as refused:
        built(card, {"messages": []})
    assert (refused.value.code, refused.value.status) == (5006, 400)
    assert refused.value.message("id") == f"AiError: Bad input: {refused.value} (id)"


def test_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"text": "b"}, {"type": "text", "text": ""}, {}, {"text": "c"}]
    [message] = built(CF, {"messages": [{"role": "user", "content": parts}]}).messages or ()
    assert message == Message("user", "a\n\nb\n\nc")
    assert built(CF, {"messages": [{"role": "user", "content": []}]}).messages == (Message("user", ""),)


def test_parts_are_joined_as_by_mistral_common() -> None:
    texts = ["a", "", "b\n", "c"]
    chunks = [TextChunk(text=text) for text in texts]
    theirs = InstructRequestNormalizer.normalizer()
    normal = theirs.from_chat_completion_request(
        ChatCompletionRequest(messages=[UserMessage(content=chunks)])
    )
    content = [{"type": "text", "text": text} for text in texts]
    assert built(CF, {"messages": [{"role": "user", "content": content}]}).messages == (
        Message("user", normal.messages[0].content),
    )


def test_a_part_that_is_no_text() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "image_url\n", "image_url": {"url": "x"}}]
    assert refusal(CF, {"messages": [ok, {"role": "user", "content": content}]}) == (
        "enum image_url not in text at '/messages/1/content/1/type'"
    )


@both
@pytest.mark.parametrize(
    ("value", "found"),
    [(5, "'number','integer'"), (True, "'boolean'"), (["x"], "'array','binary'"), ({}, "'object'")],
)
def test_lora_beside_messages(card: ModelCard, value: Any, found: str) -> None:
    assert (
        refusal(card, {"messages": [ok], "lora": value})
        == f"Type mismatch of '/lora', 'string' not in {found}"
    )


@both
@pytest.mark.parametrize(
    ("body", "query", "lora"),
    [
        ({}, None, None),
        ({}, "", None),
        ({}, "q", "q"),
        ({"lora": "b"}, None, "b"),
        ({"lora": "b"}, "q", "b"),
        ({"lora": None}, "q", "q"),
        ({"lora": ""}, None, None),
        ({"lora": ""}, "q", None),
    ],
)
def test_lora_of_the_query_is_a_fallback(
    card: ModelCard, body: dict[str, Any], query: str | None, lora: str | None
) -> None:
    assert built(card, {"messages": [ok]} | body, query).lora == lora


def test_a_card_without_lora() -> None:
    card = replace(CF, supports_lora=False)
    with pytest.raises(LoraUnsupported):
        built(card, {"prompt": "a", "lora": "x"})
    with pytest.raises(LoraUnsupported):
        built(card, {"prompt": "a"}, "x")
    assert built(card, {"prompt": "a", "lora": ""}).lora is None


@pytest.mark.parametrize(
    ("value", "raw"), [("true", True), ("false", False), (True, True), (False, False), (None, False)]
)
def test_raw_where_untyped(value: Any, raw: bool) -> None:
    assert built(HF, {"messages": [ok], "raw": value}).raw is raw


@pytest.mark.parametrize(
    ("value", "found"), [("yes", "'string'"), (1, "'number','integer'"), ([], "'array','binary'")]
)
def test_mistyped_raw_where_untyped(value: Any, found: str) -> None:
    assert (
        refusal(HF, {"messages": [ok], "raw": value}) == f"Type mismatch of '/raw', 'boolean' not in {found}"
    )


@pytest.mark.parametrize("value", ["true", None, 1])
def test_raw_where_typed_is_the_schemas(value: Any) -> None:
    for card, body in ((HF, {"prompt": "a"}), (CF, {"prompt": "a"}), (CF, {"messages": [ok]})):
        with pytest.raises(BadInput, match="Type mismatch of '/raw', 'boolean' not in"):
            card.input.check(body | {"raw": value})


@pytest.mark.parametrize("body", [{"prompt": "a"}, {"messages": [ok]}])
@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"response_format": "json"}, "Type mismatch of '/response_format', 'object' not in 'string'"),
        ({"response_format": []}, "Type mismatch of '/response_format', 'object' not in 'array','binary'"),
        (
            {"response_format": {"type": 5}},
            "Type mismatch of '/response_format/type', 'string' not in 'number','integer'",
        ),
        ({"stop": 5}, "Type mismatch of '/stop', 'string' not in 'number','integer'"),
        ({"stop": {}}, "Type mismatch of '/stop', 'string' not in 'object'"),
        ({"stop": ["a", None]}, "Type mismatch of '/stop/1', 'string' not in 'null'"),
        ({"functions": {}}, "Type mismatch of '/functions', 'array' not in 'object'"),
        ({"functions": "x"}, "Type mismatch of '/functions', 'array' not in 'string'"),
        ({"functions": [{}, "x"]}, "Type mismatch of '/functions/1', 'object' not in 'string'"),
    ],
)
def test_mistyped_where_the_older_card_is_open(body: dict[str, Any], more: dict[str, Any], text: str) -> None:
    assert refusal(HF, body | more) == text


@both
@pytest.mark.parametrize("more", [{"stop": 5}, {"stop": [1]}])
def test_mistyped_stop(card: ModelCard, more: dict[str, Any]) -> None:
    assert refusal(card, {"prompt": "a"} | more).startswith("Type mismatch of '/stop")


def test_functions_beside_a_prompt_are_open_in_the_newer_card() -> None:
    assert refusal(CF, {"prompt": "a", "functions": 5}).startswith(
        "Type mismatch of '/functions', 'array' not in"
    )


@pytest.mark.parametrize("name", ["lora", "raw", "response_format", "stop", "functions"])
def test_null_is_absent_where_the_older_card_is_open(name: str) -> None:
    assert built(HF, {"messages": [ok], name: None}) == built(HF, {"messages": [ok]})


@both
@pytest.mark.parametrize("stop", [None, "a", [], ["a", "b"]])
def test_stop_is_ignored(card: ModelCard, stop: Any) -> None:
    assert built(card, {"prompt": "a", "stop": stop}) == built(card, {"prompt": "a"})


def test_a_response_format_is_carried() -> None:
    chosen = {"type": "json_schema", "json_schema": {"type": "object"}}
    assert built(CF, {"prompt": "a", "response_format": chosen}).json_format == JsonFormat({"type": "object"})
    assert built(HF, {"messages": [ok], "response_format": {"type": "text"}}).json_format is None


@both
def test_tools_are_carried(card: ModelCard) -> None:
    """Both forms; what neither card types, too."""
    parameters = {"type": "object", "properties": {}}
    function = {"name": "x", "description": "y", "parameters": parameters}
    tool = Tool("x", "y", parameters)
    for form in (function, {"type": "function", "function": function}):
        request = built(card, {"messages": [ok], "tools": [form], "tool_choice": "required"})
        assert (request.tools, request.tool_choice) == ((tool,), "required")
    assert built(card, {"messages": [ok], "tools": []}).tools == ()
    assert "'/tool_choice'" in refusal(card, {"messages": [ok], "tool_choice": "all"})


@both
@pytest.mark.parametrize("tools", ["x", 5, None, [{"name": "x"}]])
def test_tools_beside_a_prompt_are_ignored(card: ModelCard, tools: Any) -> None:
    request = built(card, {"prompt": "a", "tools": tools, "tool_choice": "all"})
    assert (request.tools, request.tool_choice) == ((), "auto")


@both
def test_earlier_calls_are_carried(card: ModelCard) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    turns = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "b", "tool_call_id": "c", "name": "x"},
        {"role": "user", "content": "c", "tool_calls": 5, "tool_call_id": 5},
    ]
    assert built(card, {"messages": turns}).messages == (
        Message("assistant", "", (ToolCall("c", "x", "{}"),)),
        Message("tool", "b", tool_call_id="c"),
        Message("user", "c"),
    )


@both
def test_mistyped_earlier_calls(card: ModelCard) -> None:
    for turn, text in (
        (
            {"role": "assistant", "content": "", "tool_calls": [5]},
            "'/messages/0/tool_calls/0', 'object' not in",
        ),
        ({"role": "tool", "content": "", "tool_call_id": 5}, "'/messages/0/tool_call_id', 'string' not in"),
    ):
        assert refusal(card, {"messages": [turn]}).startswith(f"Type mismatch of {text} 'number'")


# What a laxer schema could let through is refused, never a crash.
@pytest.mark.parametrize(
    ("branch", "body", "text"),
    [
        ("requests", {}, "required properties at '/' are 'messages'"),
        ("prompt", {"prompt": ["a"]}, "Type mismatch of '/prompt', 'string' not in 'array','binary'"),
        ("messages", {"messages": {}}, "Type mismatch of '/messages', 'array' not in 'object'"),
        ("messages", {"messages": [5]}, "Type mismatch of '/messages/0', 'object' not in 'number','integer'"),
        (
            "messages",
            {"messages": [{"role": False}]},
            "Type mismatch of '/messages/0/role', 'string' not in 'boolean'",
        ),
        (
            "messages",
            {"messages": [{"content": 5}]},
            "Type mismatch of '/messages/0/content', 'string' not in",
        ),
        (
            "messages",
            {"messages": [{"content": ["x"]}]},
            "Type mismatch of '/messages/0/content/0', 'object' not in 'string'",
        ),
        (
            "messages",
            {"messages": [{"content": [{"text": 5}]}]},
            "Type mismatch of '/messages/0/content/0/text', 'string' not in",
        ),
    ],
)
def test_a_laxer_card(branch: str, body: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput) as refused:
        build_request(CF, open_branch(branch), body)
    assert str(refused.value).startswith(REFUSED + text)


@pytest.mark.parametrize("more", [{"stop": 5}, {"functions": 5}, {"response_format": {"type": 5}}])
def test_what_a_card_types_is_its_schemas(more: dict[str, Any]) -> None:
    request = build_request(CF, open_branch("messages", *more), {"messages": [ok]} | more)
    assert request.json_format is None


def test_a_laxer_card_may_leave_role_and_content_out() -> None:
    request = build_request(CF, open_branch("messages"), {"messages": [{}, {"role": "", "content": None}]})
    assert request.messages == (Message("user", ""), Message("", ""))
