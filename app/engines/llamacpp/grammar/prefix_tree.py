"""Texts that begin alike, as one part of a grammar that forks where they differ.

llama.cpp follows every alternative that fits so far. What is open at the same time at one level multiplies with what
is open at the next, so that no two alternatives of a grammar here may begin with the same character. And it looks at
all tokens again for each alternative that they don't fit, so that one place has a bounded number of alternatives.
"""

from collections.abc import Mapping
from typing import Final

from app.json_grammar.gbnf import CannotConvert, Rules, any_of, bare_but, choice, literal

QUOTE: Final = '"\\""'
MAX_FORKS: Final = 96
"""Alternatives in one place, by first character: ASCII has no more in JSON, so that what is wide is not in ASCII."""


class TooWide(CannotConvert):
    """The alternatives are more than MAX_FORKS. Values can be loosened then, properties can't."""

    def __init__(self) -> None:
        super().__init__(
            f"more than {MAX_FORKS} properties of an object differ from each other in one character"
        )


def branches(ends: Mapping[str, str]) -> str:
    """One of the texts, followed by what it leads to. Raises TooWide."""
    if len(ends) == 1:
        ((text, after),) = ends.items()
        return f"{literal(text)} {after}".rstrip()
    prefix = _common(min(ends), max(ends))
    rests: dict[str, dict[str, str]] = {}
    for text, after in ends.items():
        rest = text[len(prefix) :]
        rests.setdefault(rest[:1], {})[rest] = after
    if len(rests) > MAX_FORKS:
        raise TooWide
    parts = choice(branches(group) for group in rests.values())
    return f"{literal(prefix)} ({parts})" if prefix else f"({parts})"


def keys(rules: Rules, named: Mapping[str, str | None], other: str | None) -> str:
    """A property's key, followed by what it leads to: `named` by keys in JSON without their quotes, None for one that
    may not come; `other` is for any key that is not named, None where there is none. A key may be no other's spelling
    with needless escapes. Raises TooWide.
    """
    if other is None:
        return branches({f'"{key}"': after for key, after in named.items() if after is not None})
    if not named:
        return f"string {other}"
    return f"{QUOTE} ({_key(rules, named, other, rules.add(f'char* {QUOTE} {other}'))})"


def _key(rules: Rules, named: Mapping[str, str | None], other: str, rest: str) -> str:
    """From here on. `rest` is the end of a key that can't become a named one any more."""
    after: dict[str, dict[str, str | None]] = {}
    for key, end in named.items():
        if key:
            after.setdefault(key[0], {})[key[1:]] = end
    if len(after) > MAX_FORKS:
        raise TooWide
    end = named.get("", other)
    parts = [f"{bare_but(after)} {rest}", *([] if end is None else [f"{QUOTE} {end}"])]
    for first, group in after.items():
        if first == "\\":  # what such a key begins with is left to it: an escape is more than a character
            escaped = {f'\\{key}"': end for key, end in group.items() if end is not None}
            parts += [branches(escaped)] if escaped else []
        else:
            parts.append(f"{any_of(first)} {rules.add(_key(rules, group, other, rest))}")
    return choice(parts if "\\" in after else [*parts, f"escape {rest}"])


def _common(one: str, other: str) -> str:
    """What both begin with: for the first and the last of many in order, what all of them do."""
    differing = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    return one[: next(differing, min(len(one), len(other)))]
