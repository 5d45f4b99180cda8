"""Which known names somebody may have meant who typed another: without case, and only what is really near."""

from collections.abc import Iterable
from typing import Final

CHARS_PER_SLIP: Final = 5
"""One slip is forgiven in any name, one more for each further five characters."""

PART_MIN_CHARS: Final = 4
PARTS_MAX: Final = 3
NAME_MAX_CHARS: Final = 100  # comparing takes time that grows with the square


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known name that differs in punctuation alone, else those that begin or end with what was typed (a few), else
    the one with the fewest slips; none when none is near."""
    typed = name.strip().casefold()
    if not typed or len(typed) > NAME_MAX_CHARS:
        return ()
    listed = list(known)
    same = [other for other in listed if _letters(other.casefold()) == _letters(typed)]
    parts = [other for other in listed if _is_part(typed, other.casefold())]
    if same or parts:
        return tuple(same[:1] or parts[:PARTS_MAX])
    scored = [(slips(typed, other.casefold()), place) for place, other in enumerate(listed)]
    fewest, place = min(scored, default=(len(typed), 0))
    near = fewest <= min(max(1, len(typed) // CHARS_PER_SLIP), len(typed) - 2)
    return (listed[place],) if near else ()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _is_part(typed: str, other: str) -> bool:
    return len(typed) >= PART_MIN_CHARS and (other.startswith(typed) or other.endswith(typed))


def slips(first: str, second: str) -> int:
    """How many characters are missing, too many, other, or have changed places with the next (restricted
    Damerau-Levenshtein distance)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(second, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and (a, first[i - 2]) == (second[j - 2], b):
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
