"""app/inference/constrained/tools.py: tools, choices and earlier calls in every form that clients send."""

from typing import Any

import pytest

from app.errors import BadInput
from app.inference.constrained.tools import MAX_BYTES, MAX_TOOLS, read_tool_calls, read_tools
from app.types import Tool, ToolCall

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}}
flat = {"name": "get_weather", "description": "The weather.", "parameters": PLACE}
nested = {"type": "function", "function": flat}
other = {"name": "stop"}
weather = Tool("get_weather", "The weather.", PLACE)


def refusal(body: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as refused:
        read_tools(body)
    return str(refused.value).removeprefix("Error: oneOf at '/' not met, 0 matches: ")


class TestTools:
    @pytest.mark.parametrize("tool", [flat, nested, {"type": "function", **flat}])
    def test_both_forms(self, tool: dict[str, Any]) -> None:
        assert read_tools({"tools": [tool]}) == ((weather,), "auto")

    @pytest.mark.parametrize(
        "body", [{}, {"tools": None}, {"tools": []}, {"functions": [flat | {"code": "x"}]}]
    )
    def test_none(self, body: dict[str, Any]) -> None:
        assert read_tools(body) == ((), "auto")

    @pytest.mark.parametrize("more", [{}, {"description": None, "parameters": None}, {"parameters": {}}])
    def test_what_may_be_left_out(self, more: dict[str, Any]) -> None:
        assert read_tools({"tools": [{"name": "x"} | more]}) == ((Tool("x", "", NOTHING),), "auto")

    @pytest.mark.parametrize("levels", [240, 300, 900])
    def test_what_nests_too_deep_to_be_written(self, levels: int) -> None:
        deep: dict[str, Any] = {}
        for _ in range(levels):
            deep = {"not": deep}
        assert (
            refusal({"tools": [{"name": "x", "parameters": deep}]})
            == "'/tools' must nest at most 200 levels deep"
        )

    def test_arguments_are_an_object_where_the_schema_does_not_say(self) -> None:
        (tool,), _ = read_tools({"tools": [{"name": "x", "parameters": {"required": ["a"]}}]})
        assert tool.parameters == {"type": "object", "required": ["a"]}

    @pytest.mark.parametrize(
        ("tool", "text"),
        [
            (5, "Type mismatch of '/tools/0', 'object' not in 'number','integer'"),
            ({}, "required properties at '/tools/0' are 'name'"),
            ({"function": {}}, "required properties at '/tools/0/function' are 'name'"),
            ({"function": "x"}, "Type mismatch of '/tools/0/function', 'object' not in 'string'"),
            (nested | {"type": "web"}, "enum web not in function at '/tools/0/type'"),
            ({"name": 5}, "Type mismatch of '/tools/0/name', 'string' not in 'number','integer'"),
            ({"name": "a b"}, "'/tools/0/name' failed test [a-zA-Z0-9_.-]{1,64} pattern"),
            ({"name": ""}, "'/tools/0/name' failed test [a-zA-Z0-9_.-]{1,64} pattern"),
            ({"name": "x\n"}, "'/tools/0/name' failed test [a-zA-Z0-9_.-]{1,64} pattern"),
            ({"name": "a" * 65}, "'/tools/0/name' failed test [a-zA-Z0-9_.-]{1,64} pattern"),
            (flat | {"description": 5}, "Type mismatch of '/tools/0/description', 'string' not in 'number'"),
            (flat | {"parameters": [1]}, "Type mismatch of '/tools/0/parameters', 'object' not in 'array'"),
            (flat | {"parameters": ""}, "Type mismatch of '/tools/0/parameters', 'object' not in 'string'"),
            (
                flat | {"parameters": {"type": "string"}},
                "enum string not in object at '/tools/0/parameters/type'",
            ),
            (
                {"function": flat | {"parameters": {"properties": {"a": {"$ref": "http://x"}}}}},
                "'/tools/0/function/parameters/properties/a/$ref' must begin with '#'",
            ),
        ],
    )
    def test_no_tool(self, tool: Any, text: str) -> None:
        assert refusal({"tools": [tool]}).startswith(text)

    @pytest.mark.parametrize("tools", ["x", 5, {}])
    def test_no_list(self, tools: Any) -> None:
        assert refusal({"tools": tools}).startswith("Type mismatch of '/tools', 'array' not in ")

    def test_two_of_one_name(self) -> None:
        assert (
            refusal({"tools": [flat, other, nested]})
            == "'/tools/2' has the name of another tool, get_weather"
        )

    def test_bounds(self) -> None:
        tools = [{"name": f"t{number}"} for number in range(MAX_TOOLS + 1)]
        assert len(read_tools({"tools": tools[:MAX_TOOLS]})[0]) == MAX_TOOLS
        assert refusal({"tools": tools}) == f"Length of '/tools' must be <= {MAX_TOOLS}"
        long = {"name": "x", "description": "a" * MAX_BYTES}
        assert refusal({"tools": [long]}).startswith(
            f"'/tools' must be at most {MAX_BYTES} bytes of JSON, found"
        )


class TestChoice:
    def test_texts(self) -> None:
        tools = {"tools": [flat]}
        assert read_tools(tools | {"tool_choice": None}) == ((weather,), "auto")
        assert read_tools(tools | {"tool_choice": "auto"}) == ((weather,), "auto")
        assert read_tools(tools | {"tool_choice": "required"}) == ((weather,), "required")
        assert read_tools(tools | {"tool_choice": "none"}) == ((), "none")
        assert read_tools({"tool_choice": "auto"}) == ((), "auto")
        assert read_tools({"tool_choice": "none"}) == ((), "none")

    def test_a_named_function_alone_is_left(self) -> None:
        choice = {"type": "function", "function": {"name": "get_weather"}}
        assert read_tools({"tools": [other, nested], "tool_choice": choice}) == ((weather,), "required")

    @pytest.mark.parametrize(
        ("choice", "text"),
        [
            ("all", "enum all not in auto,none,required at '/tool_choice'"),
            (True, "Type mismatch of '/tool_choice', 'string' not in 'boolean'"),
            ([], "Type mismatch of '/tool_choice', 'string' not in 'array','binary'"),
            ({}, "enum null not in function at '/tool_choice/type'"),
            ({"type": "function"}, "Type mismatch of '/tool_choice/function', 'object' not in 'null'"),
            (
                {"type": "function", "function": {"name": None}},
                "Type mismatch of '/tool_choice/function/name', 'string' not in 'null'",
            ),
            (
                {"type": "function", "function": {"name": "go"}},
                "enum go not in get_weather,stop at '/tool_choice/function/name'",
            ),
        ],
    )
    def test_no_choice(self, choice: Any, text: str) -> None:
        assert refusal({"tools": [flat, other], "tool_choice": choice}) == text

    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "x"}}])
    @pytest.mark.parametrize("body", [{}, {"tools": None}, {"tools": []}])
    def test_nothing_to_choose_from(self, choice: Any, body: dict[str, Any]) -> None:
        assert refusal(body | {"tool_choice": choice}) == "required properties at '/' are 'tools'"

    def test_bad_tools_are_refused_with_any_choice(self) -> None:
        assert (
            refusal({"tools": [{}], "tool_choice": "none"}) == "required properties at '/tools/0' are 'name'"
        )


def calls(*values: Any) -> tuple[ToolCall, ...]:
    return read_tool_calls(("messages", "1"), {"tool_calls": list(values)})


class TestEarlierCalls:
    def test_both_forms(self) -> None:
        expected = (ToolCall("", "go", '{"a": 1, "b": "é"}'),)
        assert calls({"name": "go", "arguments": {"a": 1, "b": "é"}}) == expected
        text = '{"a":1,"b":"\\u00e9"}'
        (call,) = calls({"id": "c1", "type": "function", "function": {"name": "go", "arguments": text}})
        assert call == ToolCall("c1", "go", expected[0].arguments)

    def test_none(self) -> None:
        path = ("messages", "1")
        assert read_tool_calls(path, {}) == read_tool_calls(path, {"tool_calls": None}) == calls() == ()

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (None, "{}"),
            ("", "{}"),
            ({}, "{}"),
            ("{broken", '"{broken"'),
            ("1e999", '"1e999"'),
            ("[1,2]", "[1, 2]"),
            (5, "5"),
        ],
    )
    def test_arguments_of_any_kind(self, arguments: Any, text: str) -> None:
        assert calls({"name": "go", "arguments": arguments})[0].arguments == text
        assert calls({"name": "go", "id": None})[0] == ToolCall("", "go", "{}")

    @pytest.mark.parametrize("deep", ["[" * 65 + "]" * 65, '{"a":' * 900 + "1" + "}" * 900])
    def test_deep_arguments(self, deep: str) -> None:
        with pytest.raises(
            BadInput, match="'/messages/1/tool_calls/0/arguments' must nest at most 64 levels deep"
        ):
            calls({"name": "go", "arguments": deep})
        assert calls({"name": "go", "arguments": "[" * 64 + "]" * 64})[0].arguments == "[" * 64 + "]" * 64

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (5, "Type mismatch of '/messages/1/tool_calls/0', 'object' not in 'number','integer'"),
            ({}, "required properties at '/messages/1/tool_calls/0' are 'name'"),
            ({"function": 5}, "Type mismatch of '/messages/1/tool_calls/0/function', 'object' not in"),
            (
                {"function": {}},
                "required properties at '/messages/1/tool_calls/0/function' are 'name'",
            ),
            ({"name": 5}, "Type mismatch of '/messages/1/tool_calls/0/name', 'string' not in"),
            ({"id": 5, "name": "go"}, "Type mismatch of '/messages/1/tool_calls/0/id', 'string' not in"),
        ],
    )
    def test_no_call(self, call: Any, text: str) -> None:
        with pytest.raises(BadInput) as refused:
            calls(call)
        assert text in str(refused.value)

    def test_no_list(self) -> None:
        with pytest.raises(
            BadInput, match="Type mismatch of '/messages/1/tool_calls', 'array' not in 'object'"
        ):
            read_tool_calls(("messages", "1"), {"tool_calls": {}})
