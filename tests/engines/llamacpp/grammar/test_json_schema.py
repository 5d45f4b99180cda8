"""Schemas and tags as llama.cpp's grammars, judged by a small reader of the same language."""

import json
from typing import Any

import pytest

from app.engines.llamacpp.grammar.prefix_tree import MAX_FORKS
from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.errors import JsonModeUnmet
from app.inference.constrained.tool_grammar import grammar_of_calls
from app.json_grammar.gbnf import MAX_REPEATS, literal, repeated
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
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
IDEOGRAPHS = [chr(0x4E00 + n) for n in range(MAX_FORKS + 1)]
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
        ({"properties": {"a": False, "b": {"type": "integer"}}}, ["{}", '{"b": 1}'], ['{"a": 1}']),
        ({"properties": {"a": False}}, ["{}", '{"b": 1, "ab": 2}'], ['{"a": 1}', '{"b": 1, "a": 2}']),
        (
            {"anyOf": [{"properties": {"a": False}, "required": ["a"]}, {"type": "integer"}]},
            ["1"],
            ["{}", '{"a": 1}'],
        ),
        (
            {"items": [{"type": "integer"}, {"type": "string"}], "$schema": DRAFT_7},
            ['[1, "a"]'],
            ["[]", '["a"]', '[1, "a", 2]'],
        ),
        (
            {"items": [{"type": "integer"}], "additionalItems": {"type": "null"}},
            ["[1]", "[1, null]"],
            ["[null]", "[1, 2]"],
        ),
        (
            {"anyOf": [{"items": [{"type": "integer"}]}, {"items": {"type": "null"}, "minItems": 1}]},
            ["[1]", "[null]"],
            ["[]", '["a"]'],
        ),
        ({"prefixItems": [{"type": "integer"}, False]}, ["[1]"], ["[]", "[1, 2]"]),
        ({"prefixItems": [False]}, ["[]"], ["[1]"]),
        ({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "integer"}}}, ["1"], ['"a"']),
        ({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "const": 1}}}, ["1"], ["2"]),
        ({"type": "string", "pattern": '^a[b"]c$', "maxLength": 9}, ['"abc"', '"a\\"c"'], ['"ac"', '"xabc"']),
        ({"type": "integer", "minimum": 3, "maximum": 12}, ["3", "12", "7"], ["2", "13", "120"]),
        ({"$ref": "#/$defs/a/anyOf/1", "$defs": {"a": {"anyOf": [{}, {"const": 1}]}}}, ["1"], ["2"]),
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
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "allows no value"),
        ({"$ref": "#/nowhere"}, "allows no value"),
        ({"$ref": "#/anyOf/1", "anyOf": [{}]}, "allows no value"),
        ({"$ref": "https://example.com/x.json"}, "allows no value"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "allows no value"),
        ({"type": "date"}, "has a type 'date'"),
        (
            {"properties": {f"{n}{'x' * 400}": {} for n in range(90)}, "additionalProperties": True},
            "more than 1000000 characters",
        ),
        ({"properties": {key: {} for key in IDEOGRAPHS}}, f"more than {MAX_FORKS} properties"),
        (
            {"properties": {key: {} for key in IDEOGRAPHS}, "additionalProperties": True},
            f"more than {MAX_FORKS} properties",
        ),
    ],
)
def test_what_can_not_be_written_is_said(schema: Any, why: str) -> None:
    with pytest.raises(JsonModeUnmet, match=why):
        gbnf_of(Grammar(json_schema=json.dumps(schema)))


NAMED = {"x": {"type": "integer"}, "xy": {"type": "integer"}, 'é"': {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (
            {"properties": NAMED, "additionalProperties": True},
            ['{"x": 1, "xy": 2, "é\\"": 3, "z": "a", "xyz": "a", "": "a"}', '{"z": "a", "z": "b"}'],
            [
                '{"x": 1, "x": "a"}',
                '{"xy": 1, "x": "a"}',
                '{"z": "a", "x": "a"}',
                '{"z": "a", "xy": 1}',
                '{"xy": 1, "é\\"": 1, "é\\"": 1}',
            ],
        ),
        (
            {
                "anyOf": [
                    {"properties": {"x": {"const": 1}, "y": {"const": 2}}, "additionalProperties": True},
                    {"properties": {"x": {"const": 1}}, "additionalProperties": {"type": "null"}},
                ]
            },
            ['{"x": 1, "y": 2, "z": 3}', '{"x": 1, "z": null, "y": null}'],
            ['{"x": 1, "y": 2, "y": 3}', '{"x": 1, "z": null, "x": null}'],
        ),
        (
            {"properties": {key: {"const": 1} for key in map(str, range(120))}, "additionalProperties": {}},
            ['{"7": 1, "a": 2}'],
            ['{"7": 2}'],
        ),
    ],
)
def test_a_named_property_comes_at_its_place_alone(schema: Any, right: list[str], wrong: list[str]) -> None:
    """Beside others, which may come under any name that is left."""
    assert takes(schema, *right) == [True] * len(right)
    assert takes(schema, *wrong) == [False] * len(wrong)


def test_what_is_forbidden_stays_so_where_the_order_is_free() -> None:
    properties = {**{key: {"const": 1} for key in map(str, range(99))}, "a": False}
    schema = {"properties": properties, "additionalProperties": True}
    assert takes(schema, '{"98": 1, "7": 1}', '{"7": 1, "a": 1}') == [True, False]


def test_a_wide_choice_of_texts_is_any_text() -> None:
    named = {"enum": [*IDEOGRAPHS, 1]}
    assert takes(named, f'"{IDEOGRAPHS[0]}"', '"a"', "1", "2") == [True, True, True, False]
    values = [{"enum": [{name: 1} for name in IDEOGRAPHS]}, {"enum": [[name] for name in IDEOGRAPHS]}]
    assert takes({"anyOf": values}, '{"a": 1}', '["a"]', '"a"') == [True, True, False]
    kinds = [
        {"properties": {"kind": {"const": name}, "n": {"const": n}}} for n, name in enumerate(IDEOGRAPHS)
    ]
    assert takes({"anyOf": kinds}, '{"kind": "a", "n": 3}', '{"kind": "a", "n": 999}') == [True, False]


def test_all_of_ascii_is_not_wide() -> None:
    properties = {chr(code): {"const": code} for code in range(128)}
    assert takes({"properties": properties}, '{"\\t": 9, "\x7f": 127}', '{"a": 98}') == [True, False]
    values = {"enum": [chr(code) for code in range(128)]}
    assert takes(values, '"~"', '"~~"') == [True, False]


def test_a_grammar_is_written_once() -> None:
    first, again = (gbnf_of(Grammar(json_schema=json.dumps(POINT))) for _ in range(2))
    assert first is again


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
