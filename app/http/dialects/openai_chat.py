"""A run as OpenAI's chat completion (protocol notes, sections 1.2 and 2.3)."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from app.http.dialect import Frames
from app.http.dialects.openai_common import (
    SERVICE_TIER,
    Identity,
    chat_logprobs,
    render_call,
    render_usage,
)
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse
from app.http.padding import Padding
from app.http.sse import DONE
from app.inference.pipeline import Answer, Run
from app.types import Delta

NOT_ENDED = b',"logprobs":null,"finish_reason":null}]'


class ChatReply:
    """See `app.http.dialect.Reply`. One for each request: `model` is as the client wrote it."""

    def __init__(self, model: str, padding: Padding, *, with_usage: bool) -> None:
        self._model = model
        self._padding = padding
        self._with_usage = with_usage
        self._identity = Identity.now()

    async def json(self, run: Run) -> dict[str, Any]:
        """One choice."""
        answer = await run.collect()
        return {
            "id": self._identity.id,
            "object": "chat.completion",
            "created": self._identity.created,
            "model": self._model,
            "choices": [_choice(answer)],
            "usage": render_usage(run.usage),
            "service_tier": SERVICE_TIER,
        }

    def events(self, run: Run) -> Frames:
        """A chunk per delta that says something, one with finish reason and usage, then `[DONE]`.

        The role is in the first chunk. Text alone, which is what nearly every delta has, takes the short way.
        """
        head = self._head()
        text_head = head + b'[{"index":0,"delta":{"content":'
        says_role = True
        calls = 0
        reason = None
        frame = b""
        while (delta := (yield frame)) is not None:
            reason = delta.finish_reason or reason
            frame = b""
            if says_role or delta.tool_calls or delta.logprobs:
                choice = _chunk_choice(delta, says_role, calls)
                calls += len(delta.tool_calls)
                says_role = False
                frame = head + orjson.dumps([choice]) + self._padding.next()
            elif delta.text:
                frame = text_head + orjson.dumps(delta.text) + b"}" + NOT_ENDED + self._padding.next()
        yield head + self._last(run, reason) + b"}\n\n" + DONE

    def _head(self) -> bytes:
        """The start of every chunk, up to the value of `choices`."""
        chunk = {
            "id": self._identity.id,
            "created": self._identity.created,
            "model": self._model,
            "object": "chat.completion.chunk",
        }
        return b"data: " + orjson.dumps(chunk)[:-1] + b',"choices":'

    def _last(self, run: Run, reason: str | None) -> bytes:
        choices = orjson.dumps([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": reason}])
        return choices + (b',"usage":' + orjson.dumps(render_usage(run.usage)) if self._with_usage else b"")

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        """Not enveloped: there is no place for hints."""
        return JsonResponse(result, headers={REQUEST_ID_HEADER: request_id})


def _choice(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": [],
    }
    if answer.tool_calls:
        message["content"] = answer.text or None
        message["tool_calls"] = [render_call(call) for call in answer.tool_calls]
    return {
        "index": 0,
        "message": message,
        "finish_reason": answer.finish_reason,
        "logprobs": chat_logprobs(answer.logprobs),
    }


def _chunk_choice(delta: Delta, says_role: bool, calls_before: int) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant"} if says_role else {}
    if delta.text or says_role:
        said["content"] = None if delta.tool_calls and not delta.text else delta.text
    if says_role:
        said["refusal"] = None
    if delta.tool_calls:
        calls = enumerate(delta.tool_calls, calls_before)
        said["tool_calls"] = [{"index": index, **render_call(call)} for index, call in calls]
    return {"index": 0, "delta": said, "logprobs": chat_logprobs(delta.logprobs), "finish_reason": None}
