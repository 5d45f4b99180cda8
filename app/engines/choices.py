"""Engine settings that were chosen for the machine, as a person reads them at the start and in `outworker doctor`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from app.engines.memory import GIB

SET: Final = "set by you"
"""The reason for what was not chosen here."""


@dataclass(frozen=True, slots=True)
class TunedSetting:
    """`by_hand` is where to set it: an environment variable or a key of [[models]]."""

    name: str
    value: str
    reason: str
    by_hand: str


def free_memory(free_bytes: int) -> str:
    """Part of a reason."""
    return f"{free_bytes / GIB:.1f} GiB of memory are free"


def adapters_setting(count: int, *, by_hand: bool, free_bytes: int) -> TunedSetting:
    """How many adapters stay loaded."""
    reason = SET if by_hand else f"in a quarter of what the rest leaves; {free_memory(free_bytes)}"
    return TunedSetting("adapters loaded", f"up to {count}", reason, "max_adapters_resident")


def lines_of(choices: Iterable[TunedSetting]) -> Iterator[str]:
    """One line each, in columns."""
    rows = [(choice.name, choice.value, f"{choice.reason} [{choice.by_hand}]") for choice in choices]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for name, value, reason in rows:
        yield f"{name:{widths[0]}}  {value:{widths[1]}}  {reason}"
