"""A run as OpenAI's response: one object, or the events that build it."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from app.errors import ApiError
from app.http.dialect import Frames
from app.http.dialects.openai_common import SERVICE_TIER, refuse_aborted, whole
from app.http.dialects.openai_responses_echo import echo_of
from app.http.dialects.openai_responses_events import Events, call_item, message_item, new_id, text_part
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse
from app.http.error_objects import responses_error
from app.http.padding import Padding
from app.inference.pipeline import Run
from app.types import FinishReason, Usage

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


class ResponsesReply:
    """See `app.http.dialect.Reply`. One for each request: `given` is the client's body."""

    def __init__(self, given: dict[str, Any], padding: Padding) -> None:
        self._echo = echo_of(given)
        self._id = new_id("resp")
        self._created_s = int(time.time())
        self._events = Events(padding)

    async def json(self, run: Run) -> dict[str, Any]:
        """The text as a message, then the calls; no empty message beside calls."""
        answer = await whole(run)
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
            refuse_aborted(delta)
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
