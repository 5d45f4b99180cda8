"""`structured_outputs` and its older names: what becomes of each, and what is refused."""

from typing import Any

import orjson
import pytest

from app.errors import BadInput
from app.http.dialects.structured import read_structured
from app.inference.constrained.schema_limits import MAX_BYTES, MAX_ENUM_VALUES
from app.types import TextFormat

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TAG = {"format": {"type": "const_string", "value": "a"}}
OLD_TAG = {"structures": [{"begin": "<a>", "schema": {}, "end": "</a>"}], "triggers": ["<a>"]}


def form(**structured: Any) -> TextFormat | None:
    wanted, text_format = read_structured({"structured_outputs": structured})
    assert wanted is None
    return text_format


def test_what_is_json_is_a_response_format() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "", "schema": SCHEMA}}
    assert read_structured({"structured_outputs": {"json": SCHEMA}}) == (wanted, None)
    assert read_structured({"structured_outputs": {"json": '{"type": "object"}'}})[0] is not None
    assert read_structured({"guided_json": SCHEMA}) == (wanted, None)
    assert read_structured({"structured_outputs": {"json_object": True}}) == ({"type": "json_object"}, None)
    assert read_structured({"structured_outputs": {"json_object": False}}) == (None, None)
    none: list[dict[str, Any]] = [
        {},
        {"structured_outputs": None},
        {"structured_outputs": {}},
        {"guided_json": None},
    ]
    for nothing in none:
        assert read_structured(nothing) == (None, None)


def test_what_is_text() -> None:
    path = ("structured_outputs",)
    assert form(choice=["yes", "no", "yes"]) == TextFormat("choice", ("yes", "no"), (*path, "choice"))
    assert form(regex="a+") == TextFormat("regex", "a+", (*path, "regex"))
    assert form(grammar='root ::= "a"') == TextFormat("grammar", 'root ::= "a"', (*path, "grammar"))
    beside = {"guided_regex": "a", "response_format": {"type": "text"}, "tools": []}
    assert read_structured(beside)[1] is not None
    assert form(regex="a", json=None, whitespace_pattern=None, disable_any_whitespace=False) is not None
    assert read_structured({"guided_choice": ["a"]})[1] == TextFormat("choice", ("a",), ("guided_choice",))


@pytest.mark.parametrize("tag", [TAG, OLD_TAG])
def test_structural_tags_in_every_place(tag: dict[str, Any]) -> None:
    for given in (
        {"structured_outputs": {"structural_tag": tag}},
        {"structured_outputs": {"structural_tag": orjson.dumps(tag).decode()}},
        {"response_format": {"type": "structural_tag", **tag}},
    ):
        found = read_structured(given)[1]
        assert found is not None
        assert isinstance(found.value, str)
        assert orjson.loads(found.value) == {**tag, "type": "structural_tag"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"structured_outputs": []}, "Type mismatch of '/structured_outputs', 'object' not in 'array'"),
        ({"structured_outputs": {"choice": "yes"}}, "Type mismatch of '/structured_outputs/choice', 'array'"),
        ({"structured_outputs": {"choice": []}}, "Length of '/structured_outputs/choice' must be >= 1"),
        ({"structured_outputs": {"choice": ["a", 1]}}, "Type mismatch of '/structured_outputs/choice/1'"),
        ({"structured_outputs": {"choice": [""]}}, "Length of '/structured_outputs/choice/0' must be >= 1"),
        ({"structured_outputs": {"regex": 5}}, "Type mismatch of '/structured_outputs/regex', 'string'"),
        ({"structured_outputs": {"grammar": ""}}, "Length of '/structured_outputs/grammar' must be >= 1"),
        ({"structured_outputs": {"json": "{"}}, "'/structured_outputs/json' is not JSON: send an object"),
        ({"structured_outputs": {"json": 5}}, "Type mismatch of '/structured_outputs/json', 'object'"),
        ({"structured_outputs": {"structural_tag": {"a": 1}}}, "required properties at .* are 'format'"),
        (
            {"structured_outputs": {"regex": "a", "choice": ["a"]}},
            "'/structured_outputs/choice' does not go with '/structured_outputs/regex': send one of them",
        ),
        (
            {"structured_outputs": {"regex": "a", "whitespace_pattern": " "}},
            "'/structured_outputs/whitespace_pattern' is not supported: leave it out",
        ),
        ({"structured_outputs": {"xml": "a"}}, "'/structured_outputs/…' is not supported: send one of json,"),
        (
            {"structured_outputs": {"regex": "a"}, "guided_regex": "a"},
            "'/guided_regex' does not go with '/structured_outputs/regex'",
        ),
        (
            {"guided_regex": "a", "response_format": {"type": "json_object"}},
            "'/guided_regex' does not go with '/response_format'",
        ),
        ({"guided_regex": "a", "tools": [{}]}, "'/guided_regex' does not go with '/tools'"),
        ({"guided_choice": ["a" * MAX_BYTES]}, "'/guided_choice' must be at most [0-9]+ bytes"),
        ({"guided_choice": [str(n) for n in range(MAX_ENUM_VALUES + 1)]}, "must have at most [0-9]+ values"),
        ({"guided_grammar": "a" * MAX_BYTES}, "'/guided_grammar' must be at most [0-9]+ bytes"),
    ],
)
def test_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        read_structured(given)
