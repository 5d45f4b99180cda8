import json
from pathlib import Path
from typing import Any

import pytest

from app.catalog.cards import ModelCard
from app.catalog.explain import MAX_MEMBERS_LOOKED_AT, Node, first_errors
from app.errors import BadInput

FIXTURE = Path(__file__).parents[1] / "fixtures" / "validation-cases.jsonl"
CASES = [json.loads(line) for line in FIXTURE.read_text().splitlines()]
OURS = [case for case in CASES if not case["valid"] and case["error"] is None]

ok = {"role": "user", "content": "a"}


def own(card: ModelCard, **more: Any) -> str:
    """What follows the sentence about the missing prompt."""
    with pytest.raises(BadInput) as refused:
        card.input.check({"messages": [ok]} | more)
    return str(refused.value).removeprefix(
        "Error: oneOf at '/' not met, 0 matches: required properties at '/' are 'prompt', "
    )


@pytest.mark.parametrize("case", OURS)
def test_a_refusal_without_a_recorded_text_names_a_path(
    cards: dict[str, ModelCard], case: dict[str, Any]
) -> None:
    with pytest.raises(BadInput) as refused:
        cards[case["model"]].input.check(case["input"])
    text = str(refused.value)
    assert text.startswith("Error: oneOf at '/' not met, 0 matches: ")
    assert "at '/tools/0" in text or "Type mismatch of '/" in text


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"tools": None}, "Type mismatch of '/tools', 'array' not in 'null'"),
        ({"tools": [{"type": "function"}]}, "required properties at '/tools/0' are 'type,function'"),
        ({"tools": [{"name": "x"}]}, "required properties at '/tools/0' are 'name,description,parameters'"),
        (
            {"tools": [{}]},
            "required properties at '/tools/0' are 'name,description,parameters', "
            "required properties at '/tools/0' are 'type,function'",
        ),
        ({"functions": ["x"]}, "Type mismatch of '/functions/0', 'object' not in 'string'"),
        ({"messages": ["x"]}, "Type mismatch of '/messages/0', 'object' not in 'string'"),
        ({"response_format": []}, "Type mismatch of '/response_format', 'object' not in 'array','binary'"),
    ],
)
def test_newer_card(cf: ModelCard, more: dict[str, Any], text: str) -> None:
    found = own(cf, **more).removeprefix("Error: oneOf at '/' not met, 0 matches: ")
    assert found == text


def test_additional_properties(hf: ModelCard) -> None:
    function = {"parameters": {"properties": {"fine": {}, "a\nb": 5}}}
    assert own(hf, tools=[{"function": function}]) == (
        "Type mismatch of '/tools/0/function/parameters/properties/ab', 'object' not in 'number','integer'"
    )


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"enum": ["a", 1]}, True, "enum true not in a,1 at '/'"),
        ({"type": "integer"}, True, "Type mismatch of '/', 'integer' not in 'boolean'"),
        ({"type": ["string", "null"]}, 5.5, "Type mismatch of '/', 'string,null' not in 'number'"),
        ({"maxLength": 1}, "ab", "Length of '/' must be <= 1"),
        ({"minLength": 1}, "", "Length of '/' must be >= 1 not met"),
        ({"maximum": 0.5}, 1, "'/' must be <= 0.5"),
        ({"oneOf": [{"type": "string"}, {"minLength": 1}]}, "a", "oneOf at '/' not met, 2 matches"),
        ({"pattern": "^a"}, "b", "'/' does not match the schema"),
    ],
)
def test_keywords(schema: dict[str, Any], value: Any, text: str) -> None:
    node = Node.compiled(schema)
    assert not node.accepts(value)
    assert first_errors(node, value) == (text,)


def test_only_so_many_members_are_looked_at(hf: ModelCard) -> None:
    found = own(hf, messages=[ok] * (MAX_MEMBERS_LOOKED_AT - 1) + [5])
    assert (
        found
        == f"Type mismatch of '/messages/{MAX_MEMBERS_LOOKED_AT - 1}', 'object' not in 'number','integer'"
    )
    assert own(hf, messages=[ok] * MAX_MEMBERS_LOOKED_AT + [5]) == "'/messages' does not match the schema"
