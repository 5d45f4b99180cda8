"""Tools: functions that the model may call, as clients write them in either published form.

Both cards type only a part of this (and `tool_choice` not at all), so everything is looked at here. Texts and code of a
refusal are those of the schema's refusals. `functions`, which have code, are no tools: nothing reads them.
"""

import json
import re
from typing import Any, Final

import orjson

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import mistyped, refusal
from app.inference.constrained.schema_limits import check_schema, nests_deeper_than
from app.types import Tool, ToolCall, ToolChoice

MAX_TOOLS: Final = 128
MAX_BYTES: Final = 256 * 1024
"""Of all tools together; `app.inference.constrained.schema_limits` has what the parameters of each are held to."""

MAX_LEVELS: Final = 200
"""orjson writes at most 254, and `app.inference.constrained.schema_limits` says more precisely what is too deep."""

NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
MAX_ARGUMENT_LEVELS: Final = 64
TOOL_TYPES: Final = ("function",)
CHOICES: Final[tuple[ToolChoice, ...]] = ("auto", "none", "required")


def read_tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that may be called and whether one must be. Raises `BadInput` with the path and the rule.

    The choice "none" leaves no tools, the choice of a function leaves that one and is "required".
    """
    tools = _tools(body.get("tools"))
    choice = body.get("tool_choice")
    if choice is None:
        return tools, "auto"
    if isinstance(choice, dict):
        return (_named(tools, choice),), "required"
    if not isinstance(choice, str):
        raise mistyped(("tool_choice",), "string", choice)
    match choice:
        case "auto":
            return tools, "auto"
        case "none":
            return (), "none"
        case "required" | "any":
            _require_some(tools)
            return tools, "required"
    raise refusal(error_texts.not_in_enum(("tool_choice",), CHOICES, choice))


def _tools(value: Any) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise mistyped(("tools",), "array", value)
    if len(value) > MAX_TOOLS:
        raise refusal(error_texts.too_long(("tools",), MAX_TOOLS))
    if nests_deeper_than(value, MAX_LEVELS):
        raise refusal(f"'/tools' must nest at most {MAX_LEVELS} levels deep")
    size = len(orjson.dumps(value))
    if size > MAX_BYTES:
        raise refusal(f"'/tools' must be at most {MAX_BYTES} bytes of JSON, found {size}")
    tools = [_tool(("tools", str(index)), tool) for index, tool in enumerate(value)]
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refusal(f"'{error_texts.at(('tools', str(index)))}' has the name of another tool, {name}")
    return tuple(tools)


def _tool(path: Path, tool: Any) -> Tool:
    """`{name, description, parameters}` or `{type: "function", function: {…}}`."""
    if not isinstance(tool, dict):
        raise mistyped(path, "object", tool)
    kind = tool.get("type")
    if kind is not None and kind not in TOOL_TYPES:
        raise refusal(error_texts.not_in_enum((*path, "type"), TOOL_TYPES, kind))
    path, tool = _function(path, tool)
    description = tool.get("description")
    if description is not None and not isinstance(description, str):
        raise mistyped((*path, "description"), "string", description)
    return Tool(
        _name(path, tool), description or "", _parameters((*path, "parameters"), tool.get("parameters"))
    )


def _name(path: Path, tool: dict[str, Any]) -> str:
    name = tool.get("name")
    if name is None:
        raise refusal(error_texts.missing(path, ("name",)))
    if not isinstance(name, str):
        raise mistyped((*path, "name"), "string", name)
    if NAME.fullmatch(name) is None:
        raise refusal(f"'{error_texts.at((*path, 'name'))}' failed test {NAME.pattern} pattern")
    return name


def _parameters(path: Path, parameters: Any) -> dict[str, Any]:
    """A JSON schema of an object: the arguments always are one."""
    if not parameters and (parameters is None or isinstance(parameters, dict)):
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, dict):
        raise mistyped(path, "object", parameters)
    kind = parameters.get("type", "object")
    if kind != "object":
        raise refusal(error_texts.not_in_enum((*path, "type"), ("object",), kind))
    check_schema(path, parameters)
    return {"type": "object", **parameters}


def _named(tools: tuple[Tool, ...], choice: dict[str, Any]) -> Tool:
    path: Path = ("tool_choice",)
    kind, function = choice.get("type"), choice.get("function")
    if kind not in TOOL_TYPES:
        raise refusal(error_texts.not_in_enum((*path, "type"), TOOL_TYPES, kind))
    if not isinstance(function, dict):
        raise mistyped((*path, "function"), "object", function)
    name = function.get("name")
    if not isinstance(name, str):
        raise mistyped((*path, "function", "name"), "string", name)
    _require_some(tools)
    for tool in tools:
        if tool.name == name:
            return tool
    raise refusal(error_texts.not_in_enum((*path, "function", "name"), (tool.name for tool in tools), name))


def _require_some(tools: tuple[Tool, ...]) -> None:
    if not tools:
        raise refusal(error_texts.missing((), ("tools",)))


def read_tool_calls(path: Path, message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """The calls of an earlier assistant turn, `{name, arguments}` or `{id, type, function: {name, arguments}}`.

    What a client sends back is what some model wrote, so arguments may be an object, its JSON text, any other text or
    nothing. Raises `BadInput` for what is no call.
    """
    path = (*path, "tool_calls")
    calls = message.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        raise mistyped(path, "array", calls)
    return tuple(_call((*path, str(index)), call) for index, call in enumerate(calls))


def _call(path: Path, call: Any) -> ToolCall:
    if not isinstance(call, dict):
        raise mistyped(path, "object", call)
    call_id = call.get("id")
    if call_id is not None and not isinstance(call_id, str):
        raise mistyped((*path, "id"), "string", call_id)
    path, function = _function(path, call)
    name = function.get("name")
    if name is None:
        raise refusal(error_texts.missing(path, ("name",)))
    if not isinstance(name, str):
        raise mistyped((*path, "name"), "string", name)
    return ToolCall(call_id or "", name, _arguments((*path, "arguments"), function.get("arguments")))


def _arguments(path: Path, arguments: Any) -> str:
    """As JSON text, written as `json.dumps` does. Text that is not JSON is a JSON string then."""
    if arguments is None or arguments == "":
        return "{}"
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return json.dumps(arguments, ensure_ascii=False)
    if nests_deeper_than(arguments, MAX_ARGUMENT_LEVELS):
        raise refusal(f"'{error_texts.at(path)}' must nest at most {MAX_ARGUMENT_LEVELS} levels deep")
    return json.dumps(arguments, ensure_ascii=False)


def _function(path: Path, value: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """What holds the name: `function` in OpenAI's form, the value itself in the older one."""
    if "function" not in value:
        return path, value
    path, function = (*path, "function"), value["function"]
    if not isinstance(function, dict):
        raise mistyped(path, "object", function)
    return path, function
