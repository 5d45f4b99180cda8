"""app/http/openapi/draft07.py: the same values pass before and after."""

from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from app.catalog.cards import load_cards
from app.http.openapi.draft07 import modern
from app.settings import CHECKOUT

VALUES: list[Any] = [
    *([], [1], ["a", 1], ["a", "b"], ["a", 1, True], ["a", 1, "c"]),
    *({}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 1}, {"a": 1, "c": "x"}, {"items": []}),
    *(None, True, "a", 5),
]
PAIR = [{"type": "string"}, {"type": "integer"}]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"items": PAIR}, {"prefixItems"}),
        ({"items": PAIR, "additionalItems": False}, {"prefixItems", "items"}),
        ({"items": PAIR, "additionalItems": {"type": "boolean"}}, {"prefixItems", "items"}),
        ({"items": {"type": "string"}, "additionalItems": False}, {"items"}),
        ({"dependencies": {"a": ["b"]}}, {"dependentRequired"}),
        ({"dependencies": {"a": {"required": ["c"]}}}, {"dependentSchemas"}),
        (
            {"dependencies": {"a": ["b"], "c": {"properties": {"c": {"type": "string"}}}}},
            {"dependentRequired", "dependentSchemas"},
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "$id": "urn:x", "type": "array"}, {"type"}),
        ({"definitions": {"x": {"items": PAIR}}, "type": "object"}, {"$defs", "type"}),
        ({"properties": {"items": {"type": "array"}, "a": False}}, {"properties"}),
        ({"anyOf": [{"items": PAIR}, {"not": {"items": PAIR}}]}, {"anyOf"}),
        ({"enum": [{"items": []}, "a"]}, {"enum"}),
        ({"const": {"items": []}}, {"const"}),
        (True, None),
        (False, None),
    ],
)
def test_the_meaning_stays(schema: Any, words: set[str] | None) -> None:
    changed = modern(schema)
    if words is not None:
        assert set(changed) == words
    Draft202012Validator.check_schema(changed)
    before, after = Draft7Validator(schema), Draft202012Validator(changed)
    for value in VALUES:
        assert before.is_valid(value) == after.is_valid(value), value


def test_the_cards_need_no_change() -> None:
    for card in load_cards(CHECKOUT / "schemas").values():
        for side in ("input", "output"):
            assert modern(card.raw["schema"][side]) == card.raw["schema"][side]
