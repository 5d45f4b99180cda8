"""OpenAI's responses: the body as the card's own form, and a run as one object or the events that build it.

Nothing is stored, so nothing earlier can be named.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from app.catalog.refusals import plain_refusal
from app.errors import ApiError
from app.http.dialect import Frames, ParsedRequest, TextRoute
from app.http.dialects.fields import RESPONSES
from app.http.dialects.history import DROPPED_ITEMS, REFUSED_ITEMS, THOUGHTS, custom_call, is_dropped
from app.http.dialects.openai_common import SERVICE_TIER
from app.http.dialects.openai_extras import read_extras, seeded
from app.http.dialects.openai_responses_echo import echo_of
from app.http.dialects.openai_responses_events import Events, call_item, message_item, new_id, text_part
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
    sent_as,
    typed,
    unsupported,
)
from app.http.dialects.tool_choices import chosen
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse
from app.http.error_objects import responses_error
from app.http.padding import Padding
from app.inference.constrained.schema_limits import nests_deeper_than
from app.inference.pipeline import Run
from app.types import FinishReason, Usage

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

FIXED: Mapping[str, Any] = MappingProxyType(
    {
        "access_programs": None,
        "background": False,
        "conversation": None,
        "max_tool_calls": None,
        "moderation": None,
        "previous_response_id": None,
        "prompt": None,
        "prompt_cache_retention": None,
        "service_tier": SERVICE_TIER,
        "truncation": "disabled",
    }
)
"""What no request changes: nothing is stored, nothing is done behind an answer."""


def routes(padding: Padding) -> list[TextRoute]:
    """See `app.http.dialect.Dialect`."""
    dialect = ResponsesDialect(padding)

    def counted(tokens: int) -> dict[str, Any]:
        return {"object": "response.input_tokens", "input_tokens": tokens}

    return [
        TextRoute("/ai/v1/responses", dialect.parse),
        TextRoute("/ai/v1/responses/input_tokens", dialect.parse, counted),
    ]


class ResponsesDialect:
    """Parses."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    def parse(self, body: Any) -> ParsedRequest:
        """Raises BadInput for what can't be served and what the card's schema can't see."""
        given = seeded(read_object(body, ("model", "input")))
        if nests_deeper_than(given, MAX_LEVELS):
            raise plain_refusal(f"'/' must nest at most {MAX_LEVELS} levels deep")
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


class ResponsesReply:
    """See `app.http.dialect.Reply`. One for each request: `given` is the client's body."""

    def __init__(self, given: dict[str, Any], padding: Padding) -> None:
        self._echo = echo_of(given)
        self._id = new_id("resp")
        self._created_s = int(time.time())
        self._events = Events(padding)

    async def json(self, run: Run) -> dict[str, Any]:
        """The text as a message, then the calls; no empty message beside calls."""
        answer = await run.collect()
        output = [call_item(call) for call in answer.tool_calls]
        if answer.text or not output:
            part = text_part(answer.text, answer.logprobs)
            output.insert(0, message_item(new_id("msg"), _status(answer.finish_reason), [part]))
        return self._finished(output, run.usage, answer.finish_reason)

    def events(self, run: Run) -> Frames:
        """A delta's text as `response.output_text.delta`, each call whole, the finished response last."""
        events = self._events
        opened = self._response("in_progress", [])
        frame = events.frame("response.created", response=opened)
        frame += events.frame("response.in_progress", response=opened)
        reason: FinishReason | None = None
        said = False
        while (delta := (yield frame)) is not None:
            reason = delta.finish_reason or reason
            frame = events.text(delta.text, delta.logprobs) if delta.text else b""
            for call in delta.tool_calls:
                frame += events.call(call)
            said = said or bool(delta.text or delta.tool_calls)
        opening = b"" if said else events.text("", ())
        closing = opening + events.close(_status(reason))
        final = self._finished(events.output, run.usage, reason)
        yield closing + events.frame(f"response.{final['status']}", response=final)

    def _finished(
        self, output: list[dict[str, Any]], usage: Usage, reason: FinishReason | None
    ) -> dict[str, Any]:
        """`incomplete` where the answer ran out of tokens."""
        finished = {**self._response(_status(reason), output), "usage": _render_usage(usage)}
        if reason == "length":
            return {**finished, "incomplete_details": {"reason": "max_output_tokens"}}
        return {**finished, "completed_at": int(time.time())}

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        """What was asked comes first, so that nothing of it takes the place of what is."""
        return {
            **self._echo,
            **FIXED,
            "id": self._id,
            "object": "response",
            "created_at": self._created_s,
            "completed_at": None,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": output,
            "usage": None,
        }

    def error_event(self, error: ApiError, request_id: str) -> bytes:
        """The last event of a stream that fails, numbered as the ones before it."""
        return responses_error(error, request_id, self._events.next_number())

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        """Not enveloped: there is no place for hints."""
        return JsonResponse(result, headers={REQUEST_ID_HEADER: request_id})


def _status(reason: FinishReason | None) -> str:
    return "incomplete" if reason == "length" else "completed"


def _render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total_tokens,
    }
