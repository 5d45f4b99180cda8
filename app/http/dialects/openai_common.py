"""What OpenAI's answers share: identity, usage, probabilities and calls."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.types import TokenLogprob, ToolCall, Usage

SERVICE_TIER = "default"
"""There is one, whatever a client asks for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`id` is `id-` and the milliseconds since the epoch, `created` the seconds (protocol notes, section 1.2)."""

    id: str
    created: int

    @classmethod
    def now(cls) -> "Identity":
        now_s = time.time()
        return cls(f"id-{int(now_s * 1000)}", int(now_s))


def render_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Of a choice; None where none were asked for. Nothing is ever refused, so no token is a refusal's."""
    return {"content": render_logprobs(logprobs), "refusal": None} if logprobs else None


def render_logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """A token's text, its probability, its bytes, and the likeliest ones beside it."""
    return [
        {
            **_token(entry.text, entry.logprob),
            "top_logprobs": [_token(text, logprob) for text, logprob in entry.top],
        }
        for entry in logprobs
    ]


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def render_call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
