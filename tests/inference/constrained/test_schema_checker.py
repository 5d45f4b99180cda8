"""The checker of schemas: jsonschema-rs' verdict, from a process that is killed when it takes too long."""

from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import orjson
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BadInput, JsonModeUnmet
from app.inference.constrained import schema_worker
from app.inference.constrained.schema_checker import Schemas
from app.inference.constrained.worker_pool import WorkerPool

pytestmark = pytest.mark.anyio

AT = ("response_format", "json_schema")


@pytest.fixture
async def judge() -> AsyncIterator[Schemas]:
    judge = Schemas()
    yield judge
    await judge.stop()
    assert psutil.Process().children() == []


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "nope"}, "'/type' does not satisfy 'anyOf'"),
        ({"properties": {"a": 5}}, "'/properties/a' does not satisfy 'type'"),
        (
            {"type": "string", "pattern": "("},
            "'/pattern' is not an ECMA-262 regular expression: unmatched '(' at character 1",
        ),
        (
            {"properties": {"pattern": {"patternProperties": {"[z-a]": {}}}}},
            "'/properties/pattern/patternProperties' is not an ECMA-262 regular expression: "
            "a range out of order at character 4",
        ),
        (
            {"properties": {"a": {"pattern": "^((.{1,1000}){1,1000}){1,1000}$"}}},
            "the pattern at '/properties/a/pattern' is too large to be checked: repeat less in it",
        ),
        ({"items": {"$ref": "#/$defs/none"}}, "the schema has no /$defs/none"),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": "x"},
            "'/minimum' does not satisfy 'type'",
        ),
        ({"required": ["a", "a"]}, "'/required' does not satisfy 'uniqueItems'"),
    ],
)
async def test_what_is_no_schema(judge: Schemas, schema: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadInput) as refused:
        await judge.admit(AT, schema)
    assert str(refused.value).endswith(f"'/response_format/json_schema' is not a JSON schema: {fault}")


async def test_drafts(judge: Schemas) -> None:
    """`exclusiveMaximum` is a boolean in draft 4 and a number since; the schema says which it is, or only one can be."""
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": True}
    await judge.admit(AT, draft4)
    assert await judge.fault(draft4, "5") == "'/' does not satisfy 'exclusiveMaximum'"
    del draft4["$schema"]
    await judge.admit(AT, draft4)
    assert await judge.fault(draft4, "5") == "'/' does not satisfy 'exclusiveMaximum'"
    newest = {"$schema": "https://json-schema.org/draft/2020-12/schema", "exclusiveMaximum": True}
    with pytest.raises(BadInput):
        await judge.admit(AT, newest)
    unknown = {"$schema": "https://spec.openapis.org/oas/3.1/dialect/base", "maximum": 5}
    assert await judge.fault(unknown, "6") == "'/' does not satisfy 'maximum'"


async def test_a_schema_that_refers_outside_or_to_nothing(judge: Schemas) -> None:
    assert await judge.fault({"$ref": "#/$defs/none"}, "1") == "the schema has no /$defs/none"
    assert "no " in str(await judge.fault({"$ref": "http://127.0.0.1:9/x"}, "1"))


@pytest.mark.parametrize(
    ("reference", "more"),
    [
        ("#/$defs/a~1b", {"$defs": {"a/b": {"const": 1}}}),
        ("#/$defs/a~0b", {"$defs": {"a~b": {"const": 1}}}),
        ("#/$defs/c%25d", {"$defs": {"c%d": {"const": 1}}}),
        ("#%2Fdefinitions%2Fx", {"definitions": {"x": {"const": 1}}}),
        ("#/components/schemas/X", {"components": {"schemas": {"X": {"const": 1}}}}),
        ("#one", {"$defs": {"x": {"$anchor": "one", "const": 1}}}),
        ("one.json", {"$defs": {"x": {"$id": "one.json", "const": 1}}}),
        ("https://example.com/s#/$defs/x", {"$id": "https://example.com/s", "$defs": {"x": {"const": 1}}}),
        ("#/anyOf/1", {"anyOf": [True, {"const": 1}]}),
    ],
)
async def test_local_references(judge: Schemas, reference: str, more: dict[str, Any]) -> None:
    schema = {"properties": {"a": {"$ref": reference}}, **more}
    await judge.admit(AT, schema)
    assert await judge.fault(schema, '{"a": 1}') is None
    assert await judge.fault(schema, '{"a": 2}') is not None


def pid_of(pool: WorkerPool) -> int | None:
    """Of the one worker that was needed so far."""
    (pid,) = {worker.pid for worker in pool.workers} - {None} or {None}
    return pid


async def test_what_takes_too_long_is_killed_and_others_go_on() -> None:
    judge = Schemas(judging_max_s=0.3)
    assert await judge.fault({}, "1") is None
    first = pid_of(judge.pool)
    assert first is not None
    psutil.Process(first).suspend()
    with pytest.raises(JsonModeUnmet, match=r"took longer than 0\.3 s"):
        await judge.fault({}, "2")
    assert await judge.fault({"type": "integer"}, "1") is None
    assert pid_of(judge.pool) != first
    await judge.stop()


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^((a|a)*)*b$", r"^(?=(a+)+b)\1$", r"(a*)*(?!c)\1c"])
async def test_no_pattern_takes_for_ever(judge: Schemas, pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    await judge.admit(AT, schema)
    assert await judge.fault(schema, orjson.dumps("a" * 60 + "b!").decode()) is not None


async def test_good_ones_are_remembered() -> None:
    judge = Schemas(max_remembered=2)
    for number in (1, 2, 1, 3, 1):
        await judge.admit(AT, {"const": number})
    assert len(judge._good) == 2
    await judge.stop()
    await judge.admit(AT, {"const": 1})
    assert pid_of(judge.pool) is None


SCHEMAS = [
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", 1, None]}},
        "required": ["a"],
    },
    {"type": "array", "items": {"type": "number", "multipleOf": 0.5, "maximum": 9}, "uniqueItems": True},
    {"anyOf": [{"type": "string", "pattern": "^[a-c]+$"}, {"not": {"type": "array"}}]},
    {
        "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}, "type": "array", "maxItems": 3}},
        "$ref": "#/$defs/tree",
    },
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.floats(-9, 9)
    | st.sampled_from(["x", "abc", "d", "é"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_verdict_is_jsonschemas(schema: dict[str, Any]) -> None:
    oracle = jsonschema.Draft202012Validator(schema)

    verdicts = set()

    @settings(max_examples=200, deadline=None)
    @given(value=ANYTHING | st.sampled_from([{"a": 1}, {"a": 2.0, "b": None}]))
    def same(value: Any) -> None:
        answer = schema_worker.work({"schema": schema, "text": orjson.dumps(value).decode()})
        assert (answer["wrong"] is None) == oracle.is_valid(value)
        verdicts.add(oracle.is_valid(value))

    same()
    assert verdicts == {True, False}
