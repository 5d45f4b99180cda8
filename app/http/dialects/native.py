"""Workers AI's own dialect: `result.response` in the envelope, or events of `{"response": …}`."""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from app.errors import BadInput, RequestAborted
from app.http.padding import Padding
from app.http.sse import DONE
from app.inference.pipeline import Run
from app.types import Usage


def split_model_and_input(body: Any) -> tuple[str, Any]:
    """The body of `POST /ai/run`: `{"model": …, "input": …}`. Raises BadInput in the validator's words."""
    if not isinstance(body, dict) or not body.keys() >= {"model", "input"}:
        raise BadInput("Error: required properties at '/' are 'model,input'")
    if not isinstance(body["model"], str):
        raise BadInput("Error: Type mismatch of '/model', must be 'string'")
    return body["model"], body["input"]


async def render_json(run: Run) -> dict[str, Any]:
    """`{"response", "usage"}` of a whole run."""
    pieces = []
    async for delta in run:
        pieces.append(delta.text)
        _refuse_aborted(delta.finish_reason)
    return {"response": "".join(pieces), "usage": render_usage(run.usage)}


async def render_events(run: Run, padding: Padding) -> AsyncIterator[bytes]:
    """One event per delta that has text, then the usage, then `[DONE]` (protocol notes, section 2.3)."""
    async for delta in run:
        _refuse_aborted(delta.finish_reason)
        if delta.text:
            yield b'data: {"response":' + orjson.dumps(delta.text) + padding.next()
    usage = orjson.dumps(render_usage(run.usage))
    yield b'data: {"response":"","usage":' + usage + b"}\n\n" + DONE


def render_usage(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def _refuse_aborted(finish_reason: str | None) -> None:
    if finish_reason == "abort":
        raise RequestAborted
