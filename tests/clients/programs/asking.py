"""What the programs in Python share: where to ask, as which model, and how the outcome is printed."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SITUATION = json.loads(sys.argv[1])
MODEL = SITUATION["model"]
LORA = SITUATION["lora"]
UNKNOWN = "@cf/none/such"
HELLO = "What is Outworker?"
WEATHER = "The weather in Berlin?"
WHERE = "Answer in JSON: the biggest city of Germany, and how many people live there."
TOO_LONG = (
    "7 " * 3000
)  # as many characters as the model's schema lets a message have, and far more tokens than fit


@dataclass(frozen=True)
class Place:
    """Without the model's path: `base` ends in /ai."""

    base: str
    token: str

    @property
    def v1(self) -> str:
        return f"{self.base}/v1"


PLAIN, CALLING, OBJECTS, PROMPTED, FULL = (
    Place(**SITUATION[kind]) for kind in ("plain", "calling", "objects", "prompted", "full")
)
Ask = Callable[[Place, str, str], Any]
Described = Callable[[Any], dict[str, Any]]
CASES = {
    "unknown_model": (PLAIN, UNKNOWN, HELLO),
    "bad_token": (Place(PLAIN.base, "nobody"), MODEL, HELLO),
    "too_long": (PLAIN, MODEL, TOO_LONG),
    "overload": (FULL, MODEL, HELLO),
}


def failures(ask: Ask, described: Described) -> dict[str, dict[str, Any]]:
    """`ask(place, model, text)` where it must fail; `described(error)` is what its user can read of it."""
    told = {}
    for name, case in CASES.items():
        try:
            told[name] = {"class": None, "message": f"answered: {ask(*case)!r}"}
        except Exception as error:  # noqa: BLE001  each package has its own
            told[name] = _failure(error, described)
    return told


async def failures_of(ask: Ask, described: Described) -> dict[str, dict[str, Any]]:
    """The same for an `ask` that is awaited."""
    told = {}
    for name, case in CASES.items():
        try:
            told[name] = {"class": None, "message": f"answered: {await ask(*case)!r}"}
        except Exception as error:  # noqa: BLE001  each package has its own
            told[name] = _failure(error, described)
    return told


def _failure(error: Exception, described: Described) -> dict[str, Any]:
    return {"class": type(error).__name__, "message": str(error), **described(error)}


def tell(**outcome: Any) -> None:
    print(json.dumps(outcome))
