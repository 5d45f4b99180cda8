"""Sets of characters: sorted, disjoint ranges of code points, without the halves of surrogate pairs."""

import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import groupby
from typing import Final

import jsonschema_rs

Ranges = tuple[tuple[int, int], ...]
LAST: Final = 0x10FFFF
SURROGATES: Final = (0xD800, 0xDFFF)
PROPERTIES_KEPT: Final = 64
KNOWN: Final[Ranges] = ((0, 0xD7FF), (0xE000, 0xFFFF), (0x1F000, 0x1FAFF))
"""Where the characters of a property are looked for: what languages are written in, and pictures."""


def of(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """These ranges in order, joined where they touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        elif low <= high:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    rest, begin = [], 0
    for low, high in of((*ranges, SURROGATES)):
        rest.append((begin, low - 1))
        begin = high + 1
    return of((*rest, (begin, LAST)))


def union(*sets: Ranges) -> Ranges:
    return of(pair for one in sets for pair in one)


def common(one: Ranges, other: Ranges) -> Ranges:
    return of((max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d))


def without(one: Ranges, other: Ranges) -> Ranges:
    return common(one, complement(other))


def has(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


def texts(characters: str) -> Ranges:
    return of((ord(one), ord(one)) for one in characters)


ALL: Final = complement(())
DIGITS: Final = texts("0123456789")
WORD: Final = union(DIGITS, of(((0x41, 0x5A), (0x61, 0x7A))), texts("_"))
LINE_ENDS: Final = texts("\n\r\u2028\u2029")
SPACES: Final = union(LINE_ENDS, texts("\t\v\f \u00a0\u1680\u202f\u205f\u3000\ufeff"), ((0x2000, 0x200A),))


def either_case(ranges: Ranges) -> Ranges:
    """With the other case of letters. Those of wide sets are in them anyway."""
    few = [code for low, high in ranges for code in range(low, min(high, low + 512) + 1)]
    others = (one for code in few for one in (chr(code).lower(), chr(code).upper()) if len(one) == 1)
    return union(ranges, of((ord(one), ord(one)) for one in others))


@lru_cache(PROPERTIES_KEPT)
def with_property(name: str) -> Ranges:
    """Those among KNOWN with a Unicode property, as `L`, `Script=Greek` or `Emoji` name it. Raises ValueError."""
    if len(name) <= 2:
        return _where(lambda character: unicodedata.category(character).startswith(name))
    has_it = jsonschema_rs.validator_for({"pattern": rf"\p{{{name}}}"}, offline=True).is_valid
    return _where(has_it)


def _where(holds: Callable[[str], bool]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in KNOWN:
        for right, codes in groupby(range(low, high + 1), lambda code: holds(chr(code))):
            if right:
                run = list(codes)
                found.append((run[0], run[-1]))
    return of(found)
