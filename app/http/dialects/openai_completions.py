"""A run as OpenAI's legacy completion: text alone."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from app.http.dialect import Frames
from app.http.dialects.openai_common import Identity, render_usage
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse
from app.http.padding import Padding
from app.http.sse import DONE
from app.inference.pipeline import Run
from app.types import TokenLogprob

OBJECT = "text_completion"


class CompletionReply:
    """See `app.http.dialect.Reply`. One for each request: `model` is as the client wrote it."""

    def __init__(self, model: str, padding: Padding, *, with_usage: bool) -> None:
        self._model = model
        self._padding = padding
        self._with_usage = with_usage
        self._identity = Identity.now()

    async def json(self, run: Run) -> dict[str, Any]:
        """One choice."""
        answer = await run.collect()
        choice = {
            "index": 0,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "logprobs": _logprobs(answer.logprobs, 0) if answer.logprobs else None,
        }
        return {**self._opening(), "choices": [choice], "usage": render_usage(run.usage)}

    def events(self, run: Run) -> Frames:
        """A chunk per delta that says something, one with finish reason and usage, then `[DONE]`."""
        head = b"data: " + orjson.dumps(self._opening())[:-1] + b',"choices":'
        text_head = head + b'[{"index":0,"finish_reason":null,"logprobs":null,"text":'
        chars = 0
        reason = None
        frame = b""
        while (delta := (yield frame)) is not None:
            reason = delta.finish_reason or reason
            frame = b""
            if delta.logprobs:
                choice = _choice(delta.text, logprobs=_logprobs(delta.logprobs, chars))
                chars += sum(len(entry.text) for entry in delta.logprobs)
                frame = head + orjson.dumps([choice]) + self._padding.next()
            elif delta.text:
                frame = text_head + orjson.dumps(delta.text) + b"}]" + self._padding.next()
        usage = b',"usage":' + orjson.dumps(render_usage(run.usage)) if self._with_usage else b""
        yield head + orjson.dumps([_choice("", reason)]) + usage + b"}\n\n" + DONE

    def _opening(self) -> dict[str, Any]:
        return {
            "id": self._identity.id,
            "object": OBJECT,
            "created": self._identity.created,
            "model": self._model,
        }

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        """Not enveloped: there is no place for hints."""
        return JsonResponse(result, headers={REQUEST_ID_HEADER: request_id})


def _choice(text: str, reason: str | None = None, logprobs: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": 0, "finish_reason": reason, "logprobs": logprobs, "text": text}


def _logprobs(entries: Sequence[TokenLogprob], chars_before: int) -> dict[str, Any]:
    """Four lists of one length; `text_offset` counts the characters of all tokens before."""
    offsets = []
    for entry in entries:
        offsets.append(chars_before)
        chars_before += len(entry.text)
    return {
        "tokens": [entry.text for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [dict(entry.top) for entry in entries],
        "text_offset": offsets,
    }
