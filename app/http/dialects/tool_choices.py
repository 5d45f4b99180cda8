"""`tool_choice` as OpenAI's, Mistral's and Anthropic's clients write it, in the one form that the rest knows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from app.catalog import error_texts
from app.catalog.refusals import plain_refusal
from app.http.dialects.readers import named_choice, other_type, typed

PATH: Final = ("tool_choice",)
WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {"auto": "auto", "none": "none", "required": "required", "any": "required"}
)
"""Also as `{"type": …}`."""
NAMED: Final = ("function", "tool")
ALLOWED: Final = "allowed_tools"
MODES: Final = ("auto", "required")


def chosen(choice: Any, tools: Any) -> dict[str, Any]:
    """`tools` (None without any) and the choice among them, as part of a body. What is of no type is for others to
    refuse. Raises BadInput.
    """
    body = {} if tools is None else {"tools": tools}
    if choice is None:
        return body
    if isinstance(choice, str):
        return {**body, "tool_choice": WORDS.get(choice, choice)}
    if not isinstance(choice, dict):
        return {**body, "tool_choice": choice}
    kind = choice.get("type")
    if kind == ALLOWED:
        return _allowed(choice, tools)
    return {**body, "tool_choice": _of_object(kind, choice)}


def _of_object(kind: Any, choice: dict[str, Any]) -> Any:
    if kind in NAMED:
        function = choice.get("function")
        return (
            choice if kind == "function" and isinstance(function, dict) else named_choice(choice.get("name"))
        )
    if isinstance(kind, str) and kind in WORDS:
        return WORDS[kind]
    raise other_type(PATH, (*WORDS, *NAMED, ALLOWED), kind)


def _allowed(choice: dict[str, Any], tools: Any) -> dict[str, Any]:
    """Those tools alone. Chat has mode and tools one level deeper than responses."""
    path: tuple[str, ...] = PATH
    if ALLOWED in choice:
        path = (*PATH, ALLOWED)
        choice = typed(path, choice[ALLOWED], dict, "object")
    mode = choice.get("mode", "auto")
    if mode not in MODES:
        raise plain_refusal(error_texts.not_in_enum((*path, "mode"), MODES, mode))
    names = [_name(tool) for tool in typed((*path, "tools"), choice.get("tools"), list, "array")]
    known = [_name(tool) for tool in tools] if isinstance(tools, list) else []
    for index, name in enumerate(names):
        if name is None or name not in known:
            raise plain_refusal(error_texts.not_in_enum((*path, "tools", str(index)), known, name))
    return {"tools": [tool for tool in tools or () if _name(tool) in names], "tool_choice": mode}


def _name(tool: Any) -> str | None:
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else tool.get("name")
    return name if isinstance(name, str) else None
