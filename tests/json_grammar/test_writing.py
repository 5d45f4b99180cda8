"""app.json_grammar: whatever a grammar allows is JSON that satisfies its schema, for every schema of the corpus."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import xgrammar

from app.json_grammar.gbnf import CannotConvert
from app.json_grammar.writing import grammar_of, loose_grammar_of
from tests.inference.corpus import Case, load
from tests.inference.corpus.judge import is_valid
from tests.json_grammar.drawing import Bytes

CASES = load()
UNSAID = {
    "keywords uniqueItems strings": "lists of any equal texts are too many to tell apart",
}
"""Of which an answer may fail."""


@pytest.fixture(scope="module", autouse=True)
def deep() -> Iterator[None]:
    """As the helper has it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(12_000)
    yield
    sys.setrecursionlimit(before)


@pytest.fixture(scope="module")
def drawing() -> Bytes:
    return Bytes()


def test_the_corpus_is_as_large_as_it_says() -> None:
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.bounded for case in CASES) >= 250


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_answers_satisfy_their_schemas(drawing: Bytes, part: int, times: Callable[[int], int]) -> None:
    wrong = []
    drawn = 0
    for case in CASES[part::4] if times(40) > 1 else CASES[part::16]:
        compiled = drawing.compile(grammar_of(case.schema))
        for seed in range(3):
            text = drawing.draw(compiled, seed)
            drawn += text is not None
            if text is not None and not is_valid(case.schema, json.loads(text)):
                wrong.append((case.name, text))
    assert drawn >= 40
    assert [name for name, _ in wrong if name not in UNSAID] == [], wrong


def odd(name: str, schema: Any) -> Case:
    return Case(name, {"type": "object", "properties": {"a": schema}, "required": ["a"]})


@pytest.mark.parametrize(
    "case",
    [
        odd(
            "pattern and length", {"type": "string", "pattern": r"^(ab|c)+$", "minLength": 3, "maxLength": 7}
        ),
        odd("tail of a pattern", {"type": "string", "pattern": r"\d\.$", "maxLength": 6}),
        odd("quotes", {"type": "string", "pattern": r'^["\\]{3}/"$'}),
        odd("named groups", {"type": "string", "pattern": r"^(?<q>['\"]).{1,3}\k<q>$"}),
        odd("two conditions", {"type": "string", "pattern": r"^(?=.*\d)(?=.*[a-z])(?!.*aa)[a-z\d]{2,4}$"}),
        odd("word edges", {"type": "string", "pattern": r"^\w+\b.\b\w+$", "maxLength": 9}),
        odd("multiples", {"type": "number", "multipleOf": 0.15, "exclusiveMinimum": -1, "maximum": 2}),
        odd("two multiples", {"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"}),
        odd("not a number", {"not": {"type": "number"}, "type": ["number", "boolean"]}),
        odd("not integer", {"type": "number", "not": {"type": "integer"}, "minimum": 0, "maximum": 3}),
        odd(
            "one of three",
            {
                "oneOf": [{"multipleOf": 2}, {"multipleOf": 3}, {"maximum": 5}],
                "type": "integer",
                "minimum": 0,
            },
        ),
        odd("distinct", {"type": "array", "uniqueItems": True, "items": {"type": "boolean"}, "minItems": 2}),
        odd(
            "contained",
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 0, "maximum": 9},
                "contains": {"multipleOf": 4},
                "minContains": 2,
                "maxContains": 2,
                "maxItems": 5,
            },
        ),
        odd(
            "names",
            {
                "type": "object",
                "propertyNames": {"pattern": "^[a-c]{1,2}$", "not": {"const": "a"}},
                "additionalProperties": {"type": "null"},
                "minProperties": 1,
                "maxProperties": 2,
                "required": ["b"],
            },
        ),
        odd(
            "dependent",
            {
                "type": "object",
                "properties": {"x": {"const": 1}, "y": {"const": 2}},
                "dependentRequired": {"x": ["y"]},
                "minProperties": 1,
                "additionalProperties": False,
            },
        ),
        odd(
            "a condition in a condition",
            {
                "type": "integer",
                "minimum": 0,
                "maximum": 30,
                "if": {"minimum": 10},
                "then": {"if": {"maximum": 20}, "then": {"multipleOf": 5}, "else": {"multipleOf": 7}},
                "else": {"const": 3},
            },
        ),
        odd(
            "text beside a property that could be anything",
            {
                "properties": {"k": True},
                "patternProperties": {"^k": {"type": "integer"}},
                "type": "object",
                "required": ["k"],
            },
        ),
    ],
    ids=lambda case: case.name,
)
def test_what_meets_in_one_place(drawing: Bytes, case: Case) -> None:
    compiled = drawing.compile(grammar_of(case.schema))
    texts = {drawing.draw(compiled, seed) for seed in range(40)} - {None}
    assert texts
    assert [text for text in texts if not is_valid(case.schema, json.loads(str(text)))] == []


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"type": "string", "pattern": "^a$", "minLength": 2},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"allOf": [{"enum": [1, 2]}, {"enum": [3]}]},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3},
    ],
)
def test_what_nothing_satisfies(schema: Any) -> None:
    with pytest.raises(CannotConvert, match="no JSON can satisfy it"):
        grammar_of(schema)


def test_a_loose_grammar_has_the_shape(drawing: Bytes) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^x$"}}, "required": ["a"]}
    drawn = drawing.draw(drawing.compile(loose_grammar_of(schema)), 1)
    assert drawn is not None
    assert json.loads(drawn).keys() == {"a"}


def allows(compiled: xgrammar.CompiledGrammar, text: str) -> bool:
    matcher = xgrammar.GrammarMatcher(compiled, terminate_without_stop_token=True)
    return matcher.accept_string(text) and matcher.is_terminated()


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "string", "maxLength": 3}, ['"abc"', '""', '"é😀x"'], ['"abcd"']),
        ({"type": "string", "pattern": "^a.c$"}, ['"abc"', '"a\\"c"', '"a😀c"'], ['"a\\nc"', '"ac"']),
        (
            {"type": "integer", "minimum": -3, "maximum": 12},
            ["-3", "0", "12", "9"],
            ["-4", "13", "1.0", "01"],
        ),
        ({"type": "number", "minimum": 0, "maximum": 1}, ["0", "1", "0.25", "1.0"], ["1.1", "-0.1", "2"]),
        ({"enum": ['q"\\', 1, None]}, ['"q\\"\\\\"', "1", "null"], ['"q"', "2"]),
        (
            {"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 1}]},
            ["true", '"x"'],
            ['"xx"', "1"],
        ),
    ],
)
def test_what_is_allowed(drawing: Bytes, schema: Any, right: list[str], wrong: list[str]) -> None:
    compiled = drawing.compile(grammar_of(schema))
    assert [allows(compiled, text) for text in right] == [True] * len(right)
    assert [allows(compiled, text) for text in wrong] == [False] * len(wrong)
