"""The body of OpenAI's responses, as the card's own form. Nothing is stored, so nothing earlier can be named."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from app.http.dialect import ParsedRequest
from app.http.dialects.fields import RESPONSES
from app.http.dialects.history import DROPPED_ITEMS, REFUSED_ITEMS, THOUGHTS, custom_call, is_dropped
from app.http.dialects.openai_extras import read_extras, seeded
from app.http.dialects.openai_responses_reply import ResponsesReply
from app.http.dialects.readers import (
    MAX_LOGPROBS,
    copied,
    function_call,
    joined,
    other_type,
    read_count,
    read_items,
    read_limit,
    read_model,
    read_object,
    refusal,
    sent_as,
    typed,
    unsupported,
)
from app.http.dialects.tool_choices import chosen
from app.http.padding import Padding
from app.inference.constrained.nesting import nests_deeper_than

SHARED = (
    "stream",
    "temperature",
    "top_p",
    "lora",
    "top_k",
    "seed",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "raw",
)
ROLES: Mapping[str, str] = MappingProxyType({"developer": "system"})
TEXT_PARTS = ("input_text", "output_text", "text")
ITEMS = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
)
LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")
OUTPUTS = ("function_call_output", "custom_tool_call_output")
FORMATS = ("text", "json_object", "json_schema")
LOGPROBS = "message.output_text.logprobs"
# Parts of the body are in the answer again, and orjson writes at most 254 levels.
MAX_LEVELS = 200


class ResponsesDialect:
    """Parses."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    def parse(self, body: Any) -> ParsedRequest:
        """Raises BadInput for what can't be served and what the card's schema can't see."""
        given = seeded(read_object(body, ("model", "input")))
        if nests_deeper_than(given, MAX_LEVELS):
            raise refusal(f"'/' must nest at most {MAX_LEVELS} levels deep")
        model, adapter = read_model(given)
        RESPONSES.check(given)
        native = {
            **copied(given, SHARED),
            **read_limit(given, LIMITS),
            "messages": list(_messages(given)),
        }
        extras, form = read_extras(given, _logprobs(given), _format(given))
        unchecked = {**_tools(given), **form}
        reply = ResponsesReply(given, self._padding)
        return ParsedRequest(
            model,
            native,
            reply,
            adapter,
            extras,
            unchecked=unchecked,
            error_event=reply.error_event,
            sent_as={"messages": "input", **sent_as(given, LIMITS)},
        )


def _messages(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One turn for each item; what calls for a tool is the assistant's."""
    if given.get("instructions") is not None:
        yield {
            "role": "system",
            "content": typed(("instructions",), given["instructions"], str, "string"),
        }
    if isinstance(given["input"], str):
        yield {"role": "user", "content": given["input"]}
        return
    for index, item in enumerate(read_items(given, "input")):
        if not is_dropped(item, DROPPED_ITEMS):
            yield _message(("input", str(index)), item)


def _message(path: tuple[str, ...], item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind == "message":
        role = typed((*path, "role"), item.get("role"), str, "string")
        kinds = (*TEXT_PARTS, "refusal") if role == "assistant" else TEXT_PARTS
        content = joined((*path, "content"), item.get("content"), kinds, THOUGHTS)
        return {"role": ROLES.get(role, role), "content": content}
    if kind == "function_call":
        call = function_call(item.get("call_id"), item.get("name"), item.get("arguments"))
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    if kind == "custom_tool_call":
        return {"role": "assistant", "content": "", "tool_calls": [custom_call(item)]}
    if kind in OUTPUTS:
        content = joined((*path, "output"), item.get("output"), TEXT_PARTS)
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
    if isinstance(kind, str) and kind in REFUSED_ITEMS:
        raise unsupported(path, REFUSED_ITEMS[kind])
    raise other_type(path, ITEMS, kind)


def _tools(given: dict[str, Any]) -> dict[str, Any]:
    """The tools and the choice among them, as chat has them."""
    tools = None
    if given.get("tools") is not None:
        tools = [_tool(index, tool) for index, tool in enumerate(read_items(given, "tools"))]
    return chosen(given.get("tool_choice"), tools)


def _tool(index: int, tool: dict[str, Any]) -> dict[str, Any]:
    path = ("tools", str(index))
    if tool.get("type") != "function":
        raise other_type(path, ("function",), tool.get("type"))
    return copied(tool, ("name", "description", "parameters"))


def _format(given: dict[str, Any]) -> dict[str, Any] | None:
    """`text.format` as chat's `response_format`; None for text."""
    text = typed(("text",), given.get("text") or {}, dict, "object")
    answer: dict[str, Any] = typed(("text", "format"), text.get("format") or {}, dict, "object")
    if answer.get("type") in (None, "text"):
        return None
    if answer["type"] == "json_object":
        return answer
    if answer["type"] != "json_schema":
        raise other_type(("text", "format"), FORMATS, answer["type"])
    typed(("text", "format", "schema"), answer.get("schema"), dict, "object")
    return {"type": "json_schema", "json_schema": {"name": "", **copied(answer, ("name", "schema"))}}


def _logprobs(given: dict[str, Any]) -> int | None:
    """The number of alternatives, None where none are asked for."""
    top = read_count(given, "top_logprobs", MAX_LOGPROBS)
    included = typed(("include",), given.get("include") or [], list, "array")
    return (top or 0) if top or LOGPROBS in included else None
