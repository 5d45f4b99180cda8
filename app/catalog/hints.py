"""Hints on unknown properties that look like a typo: the schema ignores them, a person would want to know."""

from difflib import get_close_matches
from itertools import islice
from typing import Any

from app.errors import printable

MAX_HINTS = 3
MAX_UNKNOWN_LOOKED_AT = 8
MAX_NAME_CHARS = 64  # comparing takes time that grows with the name
LIKENESS = 0.8

# What clients of this API and of OpenAI's send on purpose: served or ignored, never a typo.
SENT_ON_PURPOSE = frozenset(
    {
        *(
            "best_of",
            "frequency_penalty",
            "logit_bias",
            "logprobs",
            "max_completion_tokens",
            "min_p",
            "min_tokens",
        ),
        *("n", "presence_penalty", "seed", "stop", "stop_sequences", "suffix", "top_a", "top_logprobs"),
        *("chat_template_kwargs", "guided_json", "modalities", "prediction", "raw", "response_format"),
        *("function_call", "functions", "parallel_tool_calls", "tool_choice", "tools"),
        *("lora", "metadata", "model", "options", "service_tier", "store", "stream_options", "user"),
        *("reasoning", "reasoning_effort", "thinking", "verbosity"),
    }
)


def hints(known: frozenset[str], body: dict[str, Any]) -> list[str]:
    """One sentence per likely typo among the body's names, at most `MAX_HINTS`.

    `known` are `InputSchema.properties`. Costs a look at each name when every one is known.
    """
    if body.keys() <= known:
        return []
    unknown = (name for name in body if name not in known and name not in SENT_ON_PURPOSE)
    found = (_hint(name, known) for name in islice(unknown, MAX_UNKNOWN_LOOKED_AT))
    return list(islice((hint for hint in found if hint), MAX_HINTS))


def _hint(name: str, known: frozenset[str]) -> str | None:
    if len(name) > MAX_NAME_CHARS:
        return None
    close = get_close_matches(name.lower(), sorted(known), n=1, cutoff=LIKENESS)
    if not close:
        return None
    return f"Unknown property '{printable(name)}' was ignored: did you mean '{close[0]}'?"
