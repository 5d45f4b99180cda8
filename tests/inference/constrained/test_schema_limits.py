"""app.inference.constrained.schema_limits: each bound holds at its number and not one beyond."""

from typing import Any

import pytest

from app.errors import BadInput
from app.inference.constrained import schema_limits as bounds
from app.inference.constrained.schema_limits import check_schema
from app.json_grammar.schemas import REFERENCES

PATH = ("response_format", "json_schema")


def refusal(schema: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as refused:
        check_schema(PATH, schema)
    text = str(refused.value)
    assert text.startswith("Error: oneOf at '/' not met, 0 matches: '/response_format/json_schema")
    return text.removeprefix("Error: oneOf at '/' not met, 0 matches: '/response_format/json_schema")


def nested(levels: int) -> dict[str, Any]:
    """`levels` objects in each other."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def test_levels() -> None:
    check_schema(PATH, nested(bounds.MAX_LEVELS))
    assert refusal(nested(bounds.MAX_LEVELS + 1)) == f"' must nest at most {bounds.MAX_LEVELS} levels deep"
    assert "levels deep" in refusal(nested(100_000))


def test_bytes() -> None:
    empty = len('{"title":""}')
    check_schema(PATH, {"title": "x" * (bounds.MAX_BYTES - empty)})
    found = bounds.MAX_BYTES + 1
    text = refusal({"title": "x" * (found - empty)})
    assert text == f"' must be at most {bounds.MAX_BYTES} bytes of JSON, found {found}"


def test_values() -> None:
    others = 2  # the schema and the list
    check_schema(PATH, {"examples": [0] * (bounds.MAX_VALUES - others)})
    text = refusal({"examples": [0] * (bounds.MAX_VALUES - others + 1)})
    assert text == f"' must have at most {bounds.MAX_VALUES} values, found {bounds.MAX_VALUES + 1}"


def test_enum() -> None:
    check_schema(PATH, {"enum": list(range(bounds.MAX_ENUM_VALUES))})
    text = refusal({"items": {"enum": list(range(bounds.MAX_ENUM_VALUES + 1))}})
    assert text == "/items/enum' must have at most 5000 values, found 5001"


def test_properties() -> None:
    check_schema(PATH, {"properties": {f"p{index}": {} for index in range(bounds.MAX_PROPERTIES)}})
    text = refusal({"properties": {f"p{index}": {} for index in range(bounds.MAX_PROPERTIES + 1)}})
    assert text == "/properties' must have at most 1000 properties, found 1001"


@pytest.mark.parametrize("keyword", sorted(bounds.COUNTS))
@pytest.mark.parametrize("beyond", [bounds.MAX_COUNT + 1, 1e300, 10**18])
def test_counts(keyword: str, beyond: float) -> None:
    check_schema(PATH, {keyword: bounds.MAX_COUNT})
    assert refusal({keyword: beyond}) == f"/{keyword}' must be at most 10000"


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (lambda text: {"pattern": text}, "/pattern"),
        (lambda text: {"patternProperties": {text: {}}}, "/patternProperties"),
    ],
)
def test_patterns(schema: Any, place: str) -> None:
    check_schema(PATH, schema("x" * bounds.MAX_PATTERN_CHARS))
    check_schema(PATH, schema("x{3,10000}y{,5}z{2}{}"))
    assert refusal(schema("x" * 4097)) == f"{place}' must be at most 4096 characters, found 4097"
    for beyond in ("x{10001}", "x{1,10001}", "x{,99999}", "x{" + "9" * 200 + "}"):
        assert refusal(schema(beyond)) == f"{place}' must repeat at most 10000 times"


def test_number_of_patterns() -> None:
    some = {f"p{index}": {"pattern": "x"} for index in range(bounds.MAX_PATTERNS)}
    check_schema(PATH, {"properties": some})
    text = refusal({"properties": some, "patternProperties": {"y": {}}})
    assert text == "' must have at most 500 patterns, found 501"


@pytest.mark.parametrize("keyword", sorted(REFERENCES))
@pytest.mark.parametrize("target", ["http://127.0.0.1/x", "file:///etc/passwd", "other.json"])
def test_references_stay_inside(keyword: str, target: str) -> None:
    check_schema(PATH, {keyword: "#/$defs/a"})
    assert refusal({"anyOf": [{}, {keyword: target}]}) == (
        f"/anyOf/1/{keyword}' must begin with '#', or with an $id of the schema: none is fetched from elsewhere"
    )
    check_schema(PATH, {"anyOf": [{"$id": target}, {keyword: target}]})


def test_a_property_may_be_called_like_a_keyword() -> None:
    names = ("$ref", "pattern", "enum", "maxItems", "properties", "patternProperties")
    check_schema(PATH, {"properties": {name: {"type": "string"} for name in names}})
    text = refusal({"properties": {"enum": {"pattern": "x{20000}"}}})
    assert text == "/properties/enum/pattern' must repeat at most 10000 times"


def test_what_a_client_wrote_is_shown_clean_and_short() -> None:
    text = refusal({"properties": {"\x1b[31m\n" + "n" * 1000: {"maxItems": 10**9}}})
    assert "\x1b" not in text
    assert "\n" not in text
    assert len(text) < 300
