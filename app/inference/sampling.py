"""From a validated body to `app.types.Sampling`: the schema is wider than the engine, `TABLE` says what then.

`docs/sampling.md` shows the same table; a test keeps the two equal.
"""

from dataclasses import dataclass
from typing import Any

from app.types import Sampling

DEFAULT_MAX_TOKENS = 256
DEFAULT_TEMPERATURE = 0.6
ALL_TOKENS = 0
# The likeliest of 32000 tokens has at least 3e-5, so less than that keeps the top token alone.
TOP_TOKEN_ONLY_BELOW = 1e-6
# Logits are divided by it in 32-bit floats: less would make them infinite.
MIN_REPETITION_PENALTY = 1e-6


@dataclass(frozen=True, slots=True)
class Row:
    """What a card publishes for a field, what the engine takes, and what is done where the two differ."""

    field: str
    published: str
    engine: str
    decision: str


TABLE = (
    Row(
        "max_tokens", "integer, no bounds", ">= 1", "below 1 is refused in Workers AI's wording; omitted: 256"
    ),
    Row(
        "temperature",
        "0..5",
        "vLLM refuses > 2",
        "passed exactly: 0 is greedy, above 2 goes through a logits processor; omitted: 0.6",
    ),
    Row(
        "top_p",
        "0..2, newer card 0.001..1",
        "(0, 1]",
        "above 1 is 1; below 0.000001, so 0 too, keeps only the top token (`top_k` 1, `top_p` 1); omitted: 1",
    ),
    Row("top_k", "1..50", "0 for all, or >= 1", "passed; omitted: 0, all tokens"),
    Row("seed", "1..9999999999", "int64", "passed; omitted: none, every answer is drawn anew"),
    Row(
        "repetition_penalty",
        "0..2",
        "> 0",
        "0 means off (1.0); above 0 but below 0.000001 is 0.000001; omitted: 1.0",
    ),
    Row("frequency_penalty", "0..2, newer card -2..2", "-2..2", "passed; omitted: 0"),
    Row("presence_penalty", "0..2, newer card -2..2", "-2..2", "passed; omitted: 0"),
    Row("any integer", "5.0 is an integer", "int", "cast"),
    Row(
        "raw",
        "boolean; untyped beside `messages` in the older card",
        "-",
        'where untyped, "true" and "false" count too; where typed, the schema decides; omitted: false',
    ),
)


DEFAULTS = Sampling(DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE)
FIELDS = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "seed"),
        *("repetition_penalty", "frequency_penalty", "presence_penalty"),
    }
)


def published_defaults() -> dict[str, float]:
    """Return what the server takes for each field that a body leaves out, where that is a value of the field."""
    values = {name: getattr(DEFAULTS, name) for name in sorted(FIELDS)}
    return {name: value for name, value in values.items() if value is not None and name != "top_k"}


def sampling_of(body: dict[str, Any], typed: frozenset[str]) -> Sampling:
    """`body` is valid; `typed` are the properties that its branch types: others are unknown, so ignored.

    `max_tokens` is as sent, also below 1: `app.inference.request` refuses that.
    """
    given = {name: body[name] for name in FIELDS & body.keys() & typed if body[name] is not None}
    if not given:
        return DEFAULTS
    top_p = float(given.get("top_p", 1))
    top_token_only = top_p < TOP_TOKEN_ONLY_BELOW
    return Sampling(
        max_tokens=int(given.get("max_tokens", DEFAULT_MAX_TOKENS)),
        temperature=float(given.get("temperature", DEFAULT_TEMPERATURE)),
        top_p=1.0 if top_token_only else min(top_p, 1.0),
        top_k=1 if top_token_only else int(given.get("top_k", ALL_TOKENS)),
        seed=int(given["seed"]) if "seed" in given else None,
        repetition_penalty=max(float(given.get("repetition_penalty", 1)) or 1.0, MIN_REPETITION_PENALTY),
        frequency_penalty=float(given.get("frequency_penalty", 0)),
        presence_penalty=float(given.get("presence_penalty", 0)),
    )
