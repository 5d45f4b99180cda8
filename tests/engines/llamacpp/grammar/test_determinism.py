"""However a schema is written, an answer can be read in one way: llama.cpp's work for a token has a bound."""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from app.engines.llamacpp.grammar.prefix_tree import MAX_FORKS
from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.errors import JsonModeUnmet
from app.inference.constrained.tool_grammar import grammar_of_calls
from app.types import Grammar, JsonFormat, Tool
from tests.engines.llamacpp.gbnf_stacks import Stacks

STEPS = 60
NAMES = ("a", "ab", 'a"', "é")
MAX_STACKS = 24
"""Characters that may come next in schemas of these few names, at one level of an answer alone."""

REFERENCES = st.sampled_from([{"$ref": f"#/$defs/{name}"} for name in "xyz"] + [{"$ref": "#"}])
LEAVES = (
    REFERENCES
    | st.sampled_from([{}, {"type": "string"}, {"type": ["integer", "number"]}, {"maxLength": 2}, True])
    | st.lists(st.sampled_from([*NAMES, 1, 12, 1.5, None, True, ["a"], {"a": 1}]), min_size=1).map(
        lambda values: {"enum": values}
    )
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    alike = st.lists(inner, min_size=1, max_size=3)
    return (
        st.builds(lambda anyof: {"anyOf": anyof}, alike)
        | st.builds(lambda item, least: {"items": item, "minItems": least}, inner, st.integers(0, 2))
        | st.builds(lambda items: {"prefixItems": items}, alike)
        | st.builds(
            lambda values, required, more: {"properties": values, "required": required, **more},
            st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
            st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
            st.just({}) | st.builds(lambda other: {"additionalProperties": other}, inner),
        )
    )


SCHEMAS = st.recursive(LEAVES, nested, max_leaves=8)
ROOTS = st.builds(
    lambda root, x, y, z: {**root, "$defs": {"x": x, "y": y, "z": z}},
    nested(SCHEMAS),
    nested(SCHEMAS),
    nested(SCHEMAS),
    nested(SCHEMAS),
)


def most_stacks(grammar: Grammar, random: Random, *, deep: bool = True) -> int:
    """On a way through the grammar on which no character but a blank is taken twice."""
    stacks, most = Stacks(gbnf_of(grammar)), 0
    for _ in range(STEPS):
        most = max(most, len(stacks.now))
        if most > 2 * MAX_FORKS:
            break  # too many already, and what they take would be long in finding
        may_come = sorted(stacks.characters())
        assert all(len(stacks.takers(one)) == 1 for one in may_come if one != " ")
        if not may_come:
            break
        opening = [one for one in may_come if one in "[{"]
        stacks.take(random.choice(opening if opening and deep else may_come))
    return most


def ambiguous(**schema: Any) -> Any:
    array = {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
    }
    return {"$ref": "#/$defs/a", "$defs": {"a": array, "b": array}, **schema}


@pytest.mark.parametrize(
    "schema",
    [
        ambiguous(),
        {"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}},
        {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "minItems": 1}]},
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}, "b": {}}}]},
        {"properties": {f"{n:03}": {"enum": [f"same{m:03}" for m in range(200)]} for n in range(20)}},
        {"properties": {f"{n:03}": {} for n in range(400)}},
    ],
)
def test_ways_do_not_multiply(schema: Any) -> None:
    grammar = Grammar(json_schema=json.dumps(schema))
    for seed in range(3):
        assert most_stacks(grammar, Random(seed), deep=seed > 0) <= MAX_STACKS


WIDE = [[chr(0x4E00 + 1000 * part + n) for n in range(980)] for part in range(5)]
"""Characters that llama.cpp would go through all its tokens for, one by one."""


@pytest.mark.parametrize(
    "schema",
    [
        {"items": {"anyOf": [{"enum": part} for part in WIDE]}, "minItems": 1},
        {"items": {"enum": [f"same{one}" for one in WIDE[0]]}, "minItems": 1},
        {"items": {"anyOf": [{"properties": {"kind": {"const": one}, "n": {}}} for one in WIDE[0]]}},
        {
            "properties": {chr(code): {} for code in range(32, 32 + MAX_FORKS)},
            "additionalProperties": {"$ref": "#"},
        },
    ],
)
def test_ways_are_not_wide(schema: Any) -> None:
    grammar = Grammar(json_schema=json.dumps(schema))
    for seed in range(3):
        assert most_stacks(grammar, Random(seed), deep=seed > 0) <= MAX_FORKS + MAX_STACKS


@settings(max_examples=60, deadline=None)
@given(ROOTS, st.integers(0, 9))
def test_any_schema_has_one_way(schema: Any, seed: int) -> None:
    grammar = Grammar(json_schema=json.dumps(schema))
    try:
        gbnf_of(grammar)
    except JsonModeUnmet:
        reject()  # one that is only ever itself
    assert most_stacks(grammar, Random(seed), deep=seed % 2 > 0) <= MAX_STACKS


@pytest.mark.parametrize("choice", ["auto", "required"])
@pytest.mark.parametrize("json_format", [None, JsonFormat(), JsonFormat({"items": {"type": "integer"}})])
def test_calls_have_one_way(choice: Any, json_format: Any) -> None:
    tools = [Tool(name, "", ambiguous()) for name in ("f", "fg", "g", "f")]
    grammar = grammar_of_calls(tools, choice, json_format)
    for seed in range(3):
        assert most_stacks(grammar, Random(seed)) <= MAX_STACKS
