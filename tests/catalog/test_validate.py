import json
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from app.catalog.cards import ModelCard, load_cards
from app.catalog.validate import InputSchema
from app.errors import BadInput

ROOT = Path(__file__).parents[2]
CASES = [
    json.loads(line) for line in (ROOT / "tests/fixtures/validation-cases.jsonl").read_text().splitlines()
]
SCHEMAS = {name: card.input for name, card in load_cards(ROOT / "schemas").items()}
NAMES = sorted(frozenset().union(*(schema.properties for schema in SCHEMAS.values())))
MEMBER_NAMES = ["role", "content", "type", "text", "function", "name", "code", "description", "parameters"]
QUIET = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))

ok = {"role": "user", "content": "a"}

numbers = st.sampled_from([0, 1, -1, 5.0, 1.5, 51, 0.001, -0.0, 2**53 + 1, 2**64 - 1, 1e308, 10000000000])
scalars = (
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(MEMBER_NAMES) | st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
changes = st.dictionaries(st.sampled_from(NAMES), anything, max_size=3)


def valid_for(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema of these cards accepts (a oneOf at times excepted); bounds are likely ones."""
    if "oneOf" in schema:
        shared = {"type": schema["type"]} if "type" in schema else {}
        return st.one_of([valid_for(shared | option) for option in schema["oneOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    makers = {"object": valid_object, "array": valid_list, "integer": valid_integer, "number": valid_number}
    if schema.get("type") in makers:
        return makers[schema["type"]](schema)
    text = st.text(min_size=schema.get("minLength", 0), max_size=6)
    return {"string": text, "boolean": st.booleans()}.get(schema.get("type", ""), anything)


def valid_list(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.lists(valid_for(schema["items"]), max_size=3)


def valid_integer(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    whole = st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**64 - 1))
    return whole | whole.map(float)


def valid_number(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema["minimum"], schema["maximum"]
    return st.floats(low, high) | st.sampled_from([low, high])


def valid_object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    members = {name: valid_for(member) for name, member in schema.get("properties", {}).items()}
    required = schema.get("required", [])
    named = st.fixed_dictionaries(
        {name: members[name] for name in required},
        optional={name: value for name, value in members.items() if name not in required},
    )
    if "additionalProperties" not in schema:
        return named
    others = st.dictionaries(st.text(max_size=3), valid_for(schema["additionalProperties"]), max_size=2)
    return st.tuples(others, named).map(lambda pair: pair[0] | pair[1])


def parsed(body: Any) -> Any:
    """As the server would have it: no NaN, no infinity, integers beyond 64 bits are floats."""
    try:
        return orjson.loads(json.dumps(body))
    except orjson.JSONDecodeError:
        assume(False)


def agrees(schema: InputSchema, body: Any) -> bool:
    return schema.is_valid(body) == jsonschema.Draft7Validator(schema.schema).is_valid(body)


def test_every_case_is_there() -> None:
    assert len(CASES) == 319


@pytest.mark.parametrize("case", CASES)
def test_verdict_of_the_schema(cards: dict[str, ModelCard], case: dict[str, Any]) -> None:
    schema = cards[case["model"]].input
    if case["valid"]:
        assert schema.check(case["input"]) in schema.branches
    else:
        with pytest.raises(BadInput, match=r"^Error: oneOf at '/' not met, "):
            schema.check(case["input"])


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@QUIET
@given(data=st.data())
def test_agrees_with_the_oracle_on_valid_bodies_and_near_them(
    schema: InputSchema, data: st.DataObject
) -> None:
    branch = data.draw(st.sampled_from(schema.branches))
    body = parsed(data.draw(valid_for(branch.node.schema)))
    assert agrees(schema, body)
    assert agrees(schema, body | parsed(data.draw(changes)))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@QUIET
@given(body=anything | changes | st.tuples(st.sampled_from(CASES), changes).map(lambda pair: merged(*pair)))
def test_agrees_with_the_oracle_on_any_json(schema: InputSchema, body: Any) -> None:
    body = parsed(body)
    assert agrees(schema, body)
    if not schema.is_valid(body):
        with pytest.raises(BadInput, match=r"^Error: oneOf at '/' not met, "):
            schema.check(body)


def merged(case: dict[str, Any], change: dict[str, Any]) -> Any:
    return case["input"] | change if isinstance(case["input"], dict) else case["input"]


@pytest.mark.parametrize(
    ("value", "valid"),
    [(True, False), (5.0, True), (1.5, False), (1e308, True), (2**64 - 1, True), (-0.0, True), ("5", False)],
)
def test_what_an_integer_is(hf: ModelCard, value: Any, valid: bool) -> None:
    assert hf.input.is_valid({"prompt": "a", "max_tokens": value}) is valid


def test_length_counts_code_points(hf: ModelCard) -> None:
    assert hf.input.is_valid({"prompt": "\N{GRINNING FACE}" * 6144})
    assert not hf.input.is_valid({"prompt": "\N{GRINNING FACE}" * 6145})


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"prompt": "a"}, "prompt"),
        ({"messages": [ok]}, "messages"),
        ({"prompt": "a", "messages": "x"}, "prompt"),
        ({"prompt": "a", "messages": [{}]}, "prompt"),
        ({"prompt": 5, "messages": [ok]}, "messages"),
        ({"prompt": "", "messages": []}, "messages"),
    ],
)
def test_the_branch_that_matched_decides(hf: ModelCard, cf: ModelCard, body: Any, name: str) -> None:
    assert hf.input.check(body).name == name
    assert cf.input.check(body).name == name


def test_a_branch_says_what_it_types(hf: ModelCard, cf: ModelCard) -> None:
    assert "raw" in hf.input.check({"prompt": "a"}).properties
    assert "raw" not in hf.input.check({"messages": [ok]}).properties
    assert "raw" in cf.input.check({"messages": [ok]}).properties
    assert "lora" not in cf.input.check({"messages": [ok]}).properties


def test_both_branches_are_refused(hf: ModelCard, cf: ModelCard) -> None:
    for card in (hf, cf):
        with pytest.raises(BadInput, match="oneOf at '/' not met, 2 matches"):
            card.input.check({"prompt": "a", "messages": [ok]})


def test_both_branches_where_workers_ai_sees_one(cf: ModelCard) -> None:
    body = {"prompt": "a", "messages": [{"role": "user", "content": [{}]}]}
    with pytest.raises(BadInput) as refused:
        cf.input.check(body)
    assert str(refused.value) == "Error: oneOf at '/' not met, 2 matches"


def test_the_schema_accepts_what_workers_ai_counts_as_missing(cf: ModelCard) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert cf.input.check({"messages": [{"role": "user", "content": parts}]}).name == "messages"
