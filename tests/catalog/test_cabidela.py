import json
from pathlib import Path
from typing import Any

import pytest

from app.catalog.cabidela import MAX_LISTED_CHARS, MAX_LISTED_ERRORS, workers_ai_text
from app.catalog.cards import ModelCard
from app.errors import BadInput

HF = "@hf/mistral/mistral-7b-instruct-v0.2"
CF = "@cf/mistral/mistral-7b-instruct-v0.2-lora"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "validation-cases.jsonl"
CASES = [json.loads(line) for line in FIXTURE.read_text().splitlines()]

ok = {"role": "user", "content": "a"}
two_parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}

NO_MATCH = "Error: oneOf at '/' not met, 0 matches: "
NO_PROMPT = NO_MATCH + "required properties at '/' are 'prompt', "


def tool(properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": "a", "description": "b", "parameters": parameters}}


def refusal(card: ModelCard, body: Any) -> str:
    with pytest.raises(BadInput) as refused:
        card.input.check(body)
    return str(refused.value)


@pytest.mark.parametrize("case", [case for case in CASES if case["error"] is not None])
def test_recorded_text(cards: dict[str, ModelCard], case: dict[str, Any]) -> None:
    assert refusal(cards[case["model"]], case["input"]) == case["error"]


# Each text is what @cloudflare/cabidela 0.2.4 gives for this schema and body.
@pytest.mark.parametrize(
    ("model", "body", "text"),
    [
        (HF, {"prompt": "a", "messages": [ok]}, "Error: oneOf at '/' not met, 2 matches"),
        (
            CF,
            {"prompt": "a", "messages": [ok]},
            "Error: oneOf at '/' not met, 2 matches: "
            "Type mismatch of '/messages/0/content', 'array' not in 'string'",
        ),
        (
            HF,
            {"messages": {"10": {"role": 1}, "2": {"role": None}, "x": ok}},
            NO_PROMPT + "Type mismatch of '/messages/2/role', 'string' not in 'null'",
        ),
        (
            CF,
            {"messages": [two_parts], "temperature": 6},
            NO_MATCH
            + "'/temperature' must be <= 5, Type mismatch of '/messages/0/content', 'string' not in 'array',"
            " required properties at '/messages/0' are 'role,content'",
        ),
        (
            HF,
            {"messages": [ok], "tools": [tool({"a/b": {"type": 1}, "b": {"type": 5}})]},
            NO_PROMPT + "Type mismatch of '/b/type', 'string' not in 'number','integer'",
        ),
        (
            CF,
            {"messages": [ok], "tools": [tool({"k": {}})], "top_k": 0},
            NO_MATCH
            + "'/top_k' must be >= 1, Type mismatch of '/messages/0/content', 'array' not in 'string',"
            " required properties at '/tools/0/parameters' are 'type,properties',"
            " required properties at '/k' are 'type,description'",
        ),
        (
            CF,
            {"prompt": "a", "response_format": {"type": [1.0, None, ["x", [], True]]}},
            NO_MATCH + "enum 1,,x,,true not in json_object,json_schema at '/response_format/type'",
        ),
        (
            CF,
            {"prompt": "a", "response_format": {"type": {"a": 1}}},
            NO_MATCH + "enum [object Object] not in json_object,json_schema at '/response_format/type'",
        ),
        (
            HF,
            {"prompt": "a", "temperature": [None, True]},
            NO_MATCH + "Type mismatch of '/temperature', 'number' not in 'array','binary'",
        ),
        (HF, {"messages": [None, 5], "temperature": 6}, NO_MATCH + "'/temperature' must be <= 5"),
    ],
)
def test_quirks(cards: dict[str, ModelCard], model: str, body: Any, text: str) -> None:
    assert workers_ai_text(cards[model].raw["schema"]["input"], body) == text


def test_length_is_that_of_javascript(hf: ModelCard) -> None:
    schema = hf.raw["schema"]["input"]
    assert workers_ai_text(schema, {"prompt": "\N{GRINNING FACE}" * 3072}) is None
    assert "Length of '/prompt' must be <= 6144" in str(
        workers_ai_text(schema, {"prompt": "\N{GRINNING FACE}" * 3073})
    )


def test_accepted_bodies_have_no_text(cf: ModelCard) -> None:
    assert workers_ai_text(cf.raw["schema"]["input"], {"messages": [ok], "tools": None}) is None


@pytest.mark.parametrize(
    ("schema", "body", "text"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "number", "minimum": 3}]}, None, "anyOf at '/' not met"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, 5, None),
        (
            {"type": "object", "additionalProperties": False},
            {"a": 1},
            "Additional or unevaluated properties '/a' at",
        ),
        ({"properties": {"a": {"type": "number", "exclusiveMinimum": 0}}}, {"a": 0}, "'/a' must be > 0"),
        (
            {"properties": {"a": {"type": "number", "exclusiveMaximum": 0.5}}},
            {"a": 0.5},
            "'/a' must be < 0.5",
        ),
        ({"properties": {"a": True}}, {"a": 0}, None),
        ({"oneOf": [{"properties": {"a": {}}}, {"type": "string"}]}, "x", "oneOf at '/' not met, 0 matches"),
    ],
)
def test_keywords_of_other_cards(schema: dict[str, Any], body: Any, text: str | None) -> None:
    found = workers_ai_text(schema, body)
    assert found is None if text is None else str(found).startswith(f"Error: {text}")


def test_names_that_a_client_chose_are_cleaned(hf: ModelCard) -> None:
    text = refusal(hf, {"messages": {"a\x07\u202e\nb" + "c" * 500: {"role": 5}}})
    assert (
        text
        == NO_PROMPT + f"Type mismatch of '/messages/ab{'c' * 196}…/role', 'string' not in 'number','integer'"
    )


def test_names_of_additional_properties_are_cleaned(hf: ModelCard) -> None:
    text = refusal(
        hf, {"messages": [ok], "tools": [tool({"a\x07/b\x1b": {"type": "x"}, "b\x1b": {"type": 5}})]}
    )
    assert text == NO_PROMPT + "Type mismatch of '/b/type', 'string' not in 'number','integer'"


def test_enum_values_are_cleaned(cf: ModelCard) -> None:
    text = refusal(cf, {"prompt": "a", "response_format": {"type": "x\x1b[31m\x00" + "y" * 10_000}})
    assert text.startswith(NO_MATCH + "enum x[31myyy")
    assert text.endswith("… not in json_object,json_schema at '/response_format/type'")
    assert len(text) < 350


def test_nothing_else_that_a_client_sent_is_echoed(hf: ModelCard, cf: ModelCard) -> None:
    secret = {"role": "s3cret", "content": ["s3cret"], "text": "s3cret"}
    for card in (hf, cf):
        for body in (
            {"prompt": secret},
            {"messages": [secret, 5]},
            {"messages": [ok], "tools": [{"type": secret}, 1]},
        ):
            assert "s3cret" not in refusal(card, body)


def deep(levels: int) -> Any:
    value: Any = None
    for level in range(levels):
        value = [value] if level % 2 else {"role": value, "content": value}
    return value


@pytest.mark.parametrize("levels", [10, 1020])
def test_deep_bodies(hf: ModelCard, cf: ModelCard, levels: int) -> None:
    nested = deep(levels)
    for card in (hf, cf):
        for body in ({"prompt": nested}, {"messages": nested}, {"messages": [ok], "tools": [nested]}, nested):
            assert len(refusal(card, body)) < 400
    lists: Any = []
    for _ in range(1000):
        lists = [lists]
    assert "enum  not in" in refusal(cf, {"prompt": "a", "response_format": {"type": lists}})


def test_a_walk_is_bounded(hf: ModelCard, cf: ModelCard) -> None:
    for card in (hf, cf):
        schema = card.raw["schema"]["input"]
        assert workers_ai_text(schema, {"messages": [ok] * 100_000, "temperature": 6}) is None
        assert workers_ai_text(schema, {"messages": {str(index): ok for index in range(100_000)}}) is None
        assert (
            refusal(card, {"messages": [ok] * 100_000, "temperature": 6})
            == NO_MATCH + "'/temperature' must be <= 5"
        )


def test_keys_are_put_in_order_only_where_there_is_time_to_visit_them(
    hf: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("app.catalog.javascript.own_keys")
    schema = hf.raw["schema"]["input"]
    assert workers_ai_text(schema, {"messages": {str(index): ok for index in range(100_000)}}) is None


def test_the_list_of_errors_is_bounded(cf: ModelCard) -> None:
    text = refusal(cf, {"messages": [ok] * 1000, "top_k": 0})
    assert text.startswith(NO_MATCH + "'/top_k' must be >= 1, Type mismatch of '/messages/0/content'")
    assert text.count("Type mismatch") == MAX_LISTED_ERRORS - 1
    assert text.endswith("and 873 more")


def test_a_list_of_long_errors_is_bounded(cf: ModelCard) -> None:
    names = {f"{index}" + "x" * 250: {"role": "a", "content": "a"} for index in range(200)}
    text = refusal(cf, {"messages": names, "top_k": 0})
    assert MAX_LISTED_CHARS < len(text) < MAX_LISTED_CHARS + 1000


def test_what_a_branch_threw_is_listed_after_any_noise(cf: ModelCard) -> None:
    text = refusal(cf, {"messages": [ok] * 1000 + [{}]})
    assert "required properties at '/messages/1000' are 'role,content'" in text
