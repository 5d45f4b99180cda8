"""Workers AI's own dialect: `result.response` in the envelope, or events of `{"response": …}`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from app.catalog.refusals import plain_refusal
from app.http.dialect import Frames, ParsedRequest
from app.http.envelope import success
from app.http.padding import Padding
from app.http.sse import DONE
from app.inference.pipeline import Run
from app.types import FinishReason, ToolCall, Usage


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What the query of a run may say. `lora` stands in for a body without one; `details` asks for `DetailedReply`."""

    lora: str | None = None
    details: bool = False


NO_QUERY = RunQuery()


class NativeDialect:
    """Parses; the same two objects answer every request, because nothing in an answer depends on the body."""

    def __init__(self, padding: Padding) -> None:
        self._reply = NativeReply(padding)
        self._detailed = DetailedReply(padding)

    def parse(self, model: str, query: RunQuery, body: Any) -> ParsedRequest:
        """A body for `POST /ai/run/{model}`."""
        return ParsedRequest(model, body, self._reply_to(query), query.lora)

    def parse_with_model(self, query: RunQuery, body: Any) -> ParsedRequest:
        """The body of `POST /ai/run`: `{"model": …, "input": …}`. Raises BadInput in the validator's words."""
        if not isinstance(body, dict) or not body.keys() >= {"model", "input"}:
            raise plain_refusal("required properties at '/' are 'model,input'")
        if not isinstance(body["model"], str):
            raise plain_refusal("Type mismatch of '/model', must be 'string'")
        return ParsedRequest(body["model"], body["input"], self._reply_to(query), query.lora)

    def _reply_to(self, query: RunQuery) -> "NativeReply":
        return self._detailed if query.details else self._reply


class NativeReply:
    """See `app.http.dialect.Reply`."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    async def json(self, run: Run) -> dict[str, Any]:
        """`{"response", "usage"}` of a whole run, and `tool_calls` where there are any."""
        answer, _ = await _whole(run)
        return answer

    def events(self, run: Run) -> Frames:
        """An event per delta that has text, the calls, the usage, `[DONE]` (protocol notes, section 2.3)."""
        calls: list[ToolCall] = []
        finish_reason = None
        frame = b""
        while (delta := (yield frame)) is not None:
            calls += delta.tool_calls
            finish_reason = delta.finish_reason
            frame = self._event(delta.text, run) if delta.text else b""
        yield self._calls(calls, finish_reason) + self._last(run, finish_reason)

    def _event(self, text: str, run: Run) -> bytes:
        return b'data: {"response":' + orjson.dumps(text) + self._padding.next()

    def _last(self, run: Run, finish_reason: FinishReason | None) -> bytes:
        return _ending(usage=render_usage(run.usage))

    def _calls(self, calls: Sequence[ToolCall], finish_reason: str | None) -> bytes:
        if not calls:
            return b""
        called = b'data: {"response":"","tool_calls":' + _streamed_calls(calls) + self._padding.next()
        return called + b'data: {"finish_reason":' + orjson.dumps(finish_reason) + b"}\n\n"

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        return success(result, request_id, hints)


class DetailedReply(NativeReply):
    """What Workers AI leaves out, for whoever asks with `?details=true`: how many tokens so far, and why it ended."""

    async def json(self, run: Run) -> dict[str, Any]:
        answer, finish_reason = await _whole(run)
        return {**answer, "finish_reason": finish_reason}

    def _event(self, text: str, run: Run) -> bytes:
        tokens = run.usage.completion_tokens
        return b'data: {"response":%b,"tokens":%d' % (orjson.dumps(text), tokens) + self._padding.next()

    def _last(self, run: Run, finish_reason: FinishReason | None) -> bytes:
        return _ending(usage=render_usage(run.usage), finish_reason=finish_reason)


async def _whole(run: Run) -> tuple[dict[str, Any], FinishReason | None]:
    """The answer to the last token, and why there are no more."""
    answer = await run.collect()
    calls = answer.tool_calls
    called = {"tool_calls": [_render_call(call) for call in calls]} if calls else {}
    in_json = run.request.json_format is not None and not calls  # then the text is valid JSON
    response = orjson.loads(answer.text) if in_json else answer.text
    return {"response": response, **called, "usage": render_usage(run.usage)}, answer.finish_reason


def render_usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _ending(**said: Any) -> bytes:
    return b"data: " + orjson.dumps({"response": "", **said}) + b"\n\n" + DONE


def _render_call(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": orjson.loads(call.arguments)}


def _streamed_calls(calls: Iterable[ToolCall]) -> bytes:
    """In one list, and in both published forms at once: clients read one or the other (protocol notes, section 2.3)."""
    return orjson.dumps(
        [
            {
                "id": call.id,
                "type": "function",
                "index": index,
                "function": {"name": call.name, "arguments": call.arguments},
                **_render_call(call),
            }
            for index, call in enumerate(calls)
        ]
    )
