"""Schemas and tags as llama.cpp's grammars, judged by a small reader of the same language."""

import json
from typing import Any

import pytest

from app.engines.llamacpp.gbnf import MAX_REPEATS, literal, repeated
from app.engines.llamacpp.grammar import gbnf_of
from app.errors import JsonModeUnmet
from app.inference.tool_grammar import grammar_of_calls
from app.types import Grammar, JsonFormat, Tool
from tests.engines.llamacpp.gbnf_reader import Reader

WEATHER = Tool(
    "weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)
DICE = Tool("dice", "", {"type": "object", "properties": {}, "additionalProperties": False})


def takes(schema: Any, *texts: str) -> list[bool]:
    reader = Reader(gbnf_of(Grammar(json_schema=json.dumps(schema))))
    return [reader.takes(text) for text in texts]


ALL = "all"
POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}


CIRCLE = {"properties": {"kind": {"const": "circle"}, "r": {"type": "integer"}}, "required": ["kind", "r"]}
SQUARE = {"properties": {"kind": {"enum": ["square"]}, "side": {}}, "required": ["kind", "side"]}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({}, ["1", "{}", '[1, "a", null]', " true", '{"a": {"b": []}}'], ["", "{", "nil", "1  ", "{'a': 1}"]),
        ({"type": "object"}, ["{}", '{"a": 1, "b": "c"}'], ["[]", '"x"', '{"a": 1,}']),
        ({"type": "integer"}, ["0", "-12", "123456"], ["01", "1.0", "--1", "1e3"]),
        ({"type": "number"}, ["0", "-1.5", "1e9", "2.5E-3"], ["1.", ".5", "+1"]),
        ({"type": "boolean"}, ["true", "false"], ["True", "null"]),
        ({"type": ["string", "null"]}, ['"a"', "null"], ["1"]),
        ({"type": "string"}, ['"a\\n\\u00e9 é😀"', '""'], ['"a\nb"', '"\\x"', '"\\ud800"', "a", '"']),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"äöü"'], ['"a"', '"abcd"']),
        ({"minLength": 1}, ['"ab"'], ['""', "1"]),
        ({"enum": ["a", 1, None, {"b": [1, 2]}]}, ['"a"', "1", "null", '{"b": [1, 2]}'], ['"b"', "2"]),
        ({"const": 'say "no"\\ \t'}, ['"say \\"no\\"\\\\ \\t"'], ['"say"']),
        (
            POINT,
            ["{}", '{"x": 1}', '{"y":2}', '{"x": 1, "y": 2}'],
            ['{"y": 2, "x": 1}', '{"z": 1}', '{"x": "1"}'],
        ),
        ({**POINT, "required": ["y"]}, ['{"y": 2}', '{"x": 1, "y": 2}'], ["{}", '{"x": 1}']),
        ({**POINT, "required": ["x", "y"]}, ['{"x": 1, "y": 2}'], ['{"x": 1}', '{"y": 2}']),
        (
            {**POINT, "additionalProperties": {"type": "null"}},
            ['{"x": 1, "z": null}', '{"z": null}'],
            ['{"z": 1}'],
        ),
        ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a": 1}']),
        ({"required": ["a"]}, ['{"a": [1]}'], ["{}"]),
        (
            {"additionalProperties": {"type": "integer"}, "minProperties": 1, "maxProperties": 2},
            ['{"a": 1}', '{"a": 1, "b": 2}'],
            ["{}", '{"a": 1, "b": 2, "c": 3}', '{"a": "x"}'],
        ),
        ({"patternProperties": {"^a": {"type": "integer"}}}, ['{"a": 1}'], ['{"a": "x"}']),
        ({"type": "array", "items": {"type": "integer"}}, ["[]", "[1, 2,3]"], ['["a"]', "[1,]"]),
        (
            {"items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
            ["[1, 2]", "[1,2,3]"],
            ["[1]", "[1,2,3,4]"],
        ),
        ({"type": "array", "maxItems": 0}, ["[]", "[ ]"], ["[1]"]),
        ({"type": "array", "minItems": 1}, ["[1]", '[1, "a"]'], ["[]"]),
        (
            {"prefixItems": [{"type": "integer"}, {"type": "string"}]},
            ['[1, "a"]'],
            ['["a", 1]', '[1, "a", 2]', "[1]"],
        ),
        ({"prefixItems": [{"type": "integer"}], "items": {"type": "null"}}, ["[1]", "[1, null]"], ["[1, 2]"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["1", "null"], ['"a"']),
        ({"oneOf": [POINT, {"const": 1}], "title": "x"}, ['{"x": 1}', "1"], ["2"]),
        (
            {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            ['{"a": 1}', '{"b": 1}'],
            ["{}"],
        ),
        ({"allOf": [POINT, {"required": ["y"]}]}, ['{"y": 2}'], ["{}"]),
        (
            {
                "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
                "$ref": "#/$defs/n",
            },
            ["{}", '{"next": {"next": {}}}'],
            ['{"next": 1}'],
        ),
        ({"properties": {"me": {"$ref": "#"}}}, ['{"me": {"me": {}}}'], ['{"me": 1}']),
        ({"allOf": [{"$ref": "#/$defs/p"}], "$defs": {"p": POINT}}, ['{"x": 1}'], ['{"x": "a"}']),
        (
            {"oneOf": [CIRCLE, SQUARE]},
            ['{"kind": "circle", "r": 1}', '{"kind": "square", "side": 2}'],
            ['{"kind": "circle", "side": 2}', '{"kind": "square"}', '{"kind": "disc", "r": 1}'],
        ),
        (
            {"anyOf": [{**POINT, "required": ["x"]}, {"properties": {"z": {}}, "required": ["z"]}]},
            ['{"x": 1}', '{"z": null}', '{"x": 1, "y": 2}'],
            ["{}", '{"x": 1, "z": 1}', '{"y": 2}'],
        ),
        (
            {"anyOf": [{"items": {"type": "integer"}, "maxItems": 2}, {"items": {"type": "null"}}]},
            ["[]", "[1]", "[null, null]"],
            ['["a"]', "[1"],
        ),
        ({"anyOf": [{"maxLength": 1}, {"const": "long"}]}, ['"a"', '"long"'], ["1"]),
        ({"type": ["integer", "number"]}, ["1", "1.5"], ['"a"']),
        ({"enum": ["a", "ab", "abc", 1, 12, 1.5]}, ['"a"', '"abc"', "1", "12", "1.5"], ['"abcd"', "2", "13"]),
        (
            {"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
            ['{"a": null}', '{"a": null, "b": 1}', '{"ab": 1}', '{"": 1}', '{"b\\n": 1}'],
            ['{"a": 1}', '{"b": null}'],
        ),
        (
            {"properties": {'q"é': {"type": "null"}}, "additionalProperties": {"type": "integer"}},
            ['{"q\\"é": null}', '{"q": 1}', '{"qé": 1}'],
            ['{"q\\"é": 1}'],
        ),
        (
            {"properties": {f"{n:02}": {"type": "integer"} for n in range(99)}, "required": ["00"]},
            ['{"98": 1}', '{"98": 1, "00": 1}', "{}"],
            ['{"98": "x"}', '{"99": 1}'],
        ),
    ],
)
def test_schemas(schema: Any, right: list[str], wrong: list[str]) -> None:
    assert takes(schema, *right) == [True] * len(right)
    assert takes(schema, *wrong) == [False] * len(wrong)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (False, "allows no value"),
        ({"enum": []}, "allows no value"),
        ({"type": "object", "properties": {"a": False}}, "allows no value"),
        ({"$ref": "#/nowhere"}, "refers to what is not in it"),
        ({"$ref": "https://example.com/x.json"}, "refers to what is not in it"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "itself without end"),
        ({"type": "date"}, "has a type 'date'"),
        (
            {"properties": {f"{n}{'x' * 400}": {} for n in range(90)}, "additionalProperties": True},
            "more than 1000000 characters",
        ),
    ],
)
def test_what_can_not_be_written_is_said(schema: Any, why: str) -> None:
    with pytest.raises(JsonModeUnmet, match=why):
        gbnf_of(Grammar(json_schema=json.dumps(schema)))


def test_literals_are_themselves() -> None:
    odd = 'a"b\\c\n\t\x7f é😀 ]^-'
    assert Reader(f"root ::= {literal(odd)}\n").takes(odd)


@pytest.mark.parametrize(
    ("least", "most", "right"), [(0, None, [0, 9]), (2, 3, [2, 3]), (0, 0, [0]), (1, 1, [1])]
)
def test_repetitions(least: int, most: int | None, right: list[int]) -> None:
    reader = Reader(f"root ::= {repeated(literal('x'), least, most)}\n")
    assert [count for count in range(10) if reader.takes("x" * count)] == (
        list(range(10)) if most is None else right
    )


def test_large_bounds_are_loosened() -> None:
    assert repeated('"x"', 10_000, 10_000) == f'("x"){{{MAX_REPEATS},}}'


class TestCalls:
    CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Berlin"}}</tool_call>'
    ROLL = '<tool_call>{"name": "dice", "arguments": {}}</tool_call>'

    def reader(self, choice: Any, json_format: JsonFormat | None = None, *, one_call: bool = False) -> Reader:
        return Reader(gbnf_of(grammar_of_calls([WEATHER, DICE], choice, json_format, one_call=one_call)))

    def test_required_is_one_call(self) -> None:
        reader = self.reader("required")
        assert reader.takes(self.CALL)
        assert reader.takes(" " + self.ROLL)
        assert not any(
            map(reader.takes, ["", "text", f"x{self.CALL}", self.CALL + self.CALL, self.CALL[:-1]])
        )

    def test_free_text_may_have_calls(self) -> None:
        reader = self.reader("auto")
        for text in (
            "",
            "Hi.",
            "a < b\n<tool",
            "<<tool_call",
            f"So: {self.CALL} and\n{self.ROLL}.",
            "<" + self.CALL,
        ):
            assert reader.takes(text), text

    def test_what_begins_as_a_call_is_one(self) -> None:
        reader = self.reader("auto")
        for text in (
            "<tool_call>",
            "x <tool_call>hi</tool_call>",
            self.CALL.replace("city", "town"),
            f"<{self.CALL[:-3]}",
        ):
            assert not reader.takes(text), text

    def test_one_call_is_the_end(self) -> None:
        reader = self.reader("auto", one_call=True)
        assert reader.takes(f"So: {self.CALL}")
        assert not reader.takes(f"{self.CALL} and")

    def test_json_or_calls(self) -> None:
        reader = self.reader("auto", JsonFormat(POINT))
        for text in ('{"x": 1}', self.CALL, f"{self.CALL}\n{self.ROLL}"):
            assert reader.takes(text), text
        assert not reader.takes("text")
        assert not self.reader("auto", JsonFormat(POINT), one_call=True).takes(f"{self.CALL}\n{self.ROLL}")

    def test_json_of_any_shape_or_calls(self) -> None:
        assert self.reader("auto", JsonFormat()).takes('{"a": [1]}')
