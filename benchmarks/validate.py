"""Part "validate": microseconds that the verdict on a request's body takes."""

import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from app.catalog.cards import load_cards
from app.settings import CHECKOUT
from benchmarks.report import Part

CALLS = 2000
REPEATS = 9
TARGET_BODY = "20 messages"
TARGET_US = 10.0
SENTENCE = "What does the server answer when its queue is full, and when should a client try again?"


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds per call, the best of several repeats."""

    card: str
    body: str
    body_bytes: int
    check_us: float
    parse_us: float


def run() -> Part:
    cards = load_cards(CHECKOUT / "schemas")
    timings = [
        _timing(card.name, name, card.input.check, body)
        for card in cards.values()
        for name, body in bodies().items()
    ]
    return Part(
        name="validate",
        title="Validation of a body against its card's schema",
        columns=("card", "body", "bytes", "check us", "parse us", "check / parse", "target us"),
        rows=[_row(timing) for timing in timings],
        notes=[f"Best of {REPEATS} x {CALLS} calls. parse: orjson on the same body, for scale."],
        samples=timings,
    )


def bodies() -> dict[str, dict[str, Any]]:
    """The measured bodies by name; every card accepts them."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": SENTENCE} for index in range(20)]
    return {
        "one turn": {"messages": messages[:1]},
        TARGET_BODY: {"messages": messages},
        "20 messages, 8 tools": {"messages": messages, "tools": [_tool(index) for index in range(8)]},
    }


def _tool(index: int) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of a city"}},
        "required": ["city"],
    }
    function = {"name": f"forecast_{index}", "description": "The weather of a city", "parameters": parameters}
    return {"type": "function", "function": function}


def _timing(card: str, name: str, check: Callable[[object], object], body: dict[str, Any]) -> Timing:
    content = orjson.dumps(body)
    parsed = orjson.loads(content)
    return Timing(card, name, len(content), _us(lambda: check(parsed)), _us(lambda: orjson.loads(content)))


def _us(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=CALLS, repeat=REPEATS)) / CALLS * 1e6


def _row(timing: Timing) -> tuple[str, ...]:
    return (
        timing.card,
        timing.body,
        str(timing.body_bytes),
        f"{timing.check_us:.2f}",
        f"{timing.parse_us:.2f}",
        f"{timing.check_us / timing.parse_us:.2f}",
        f"<= {TARGET_US:.0f}" if timing.body == TARGET_BODY else "",
    )
