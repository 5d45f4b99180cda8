"""Regular languages with intersection and complement, by Brzozowski's derivatives (Owens, Reppy and Turon, 2009).

Terms are made by one `Terms`, which has each only once, so that equal ones are the same object.
"""

import time
from collections.abc import Iterable
from functools import cached_property
from typing import Final, Literal

from app.json_grammar import characters
from app.json_grammar.characters import Ranges

Kind = Literal["set", "cat", "or", "and", "not", "repeat", "end", "behind"]
MAX_TERMS: Final = 100_000
BEGIN: Final = 0
EDGE: Final = 1
INSIDE: Final = 2
AFTER: Final = 3
NOT_AFTER: Final = 4
"""Where a "behind" is the empty text, kept as its `least`."""

NOWHERE: Final = (None, None)
MAX_S: Final = 1.0
"""Of computing, for one language."""

Place = tuple[int | None, int | None]
"""The characters before and after it, None for the beginning and the end of the text."""


class TooLarge(Exception):
    """The language takes more terms or states than are given to one."""


class Term:
    """`width` is how many characters its texts have, at least and at most: None is any number. What is `placed` asks
    for the characters around it: "behind" is the empty text after one of `ranges`, or at a word's edge (EDGE, INSIDE).
    """

    __slots__ = ("_after", "kind", "least", "most", "parts", "placed", "ranges", "width")

    def __init__(
        self,
        kind: Kind,
        parts: tuple["Term", ...] = (),
        ranges: Ranges = (),
        least: int = 0,
        most: int | None = 0,
    ) -> None:
        self.kind = kind
        self.parts = parts
        self.ranges = ranges
        self.least = least
        self.most = most
        self.placed: bool = kind == "behind" or any(part.placed for part in parts)
        self.width = self._width()
        self._after: dict[Place, Term] = {}

    def ends(self, place: Place) -> bool:
        """Whether the empty text is one of its texts, there."""
        match self.kind:
            case "set":
                return False
            case "cat" | "and":
                return all(part.ends(place) for part in self.parts)
            case "or":
                return any(part.ends(place) for part in self.parts)
            case "not":
                return not self.parts[0].ends(place)
            case "behind":
                return _is_behind(self, *place)
        return self.least == 0 or self.parts[0].ends(place)

    def _width(self) -> tuple[int, int | None]:  # noqa: PLR0911 - a case each
        widths = [part.width for part in self.parts]
        match self.kind:
            case "set":
                return 1, 1
            case "cat":
                return sum(low for low, _ in widths), _sum(high for _, high in widths)
            case "or":
                return min((low for low, _ in widths), default=0), _largest(high for _, high in widths)
            case "and":
                highs = [high for _, high in widths if high is not None]
                return max(low for low, _ in widths), min(highs, default=None)
            case "not":
                return 0, None
            case "repeat":
                low, high = widths[0]
                most = 0 if high == 0 else None if high is None or self.most is None else high * self.most
                return low * self.least, most
        return 0, 0

    def after(self, before: int | None, code: int, terms: "Terms") -> "Term":
        """What may follow this character, which itself follows the one before."""
        place = (before if self.placed else None, code)
        if place not in self._after:
            self._after[place] = self._derived(*place, terms)
        return self._after[place]

    def _derived(self, before: int | None, code: int, terms: "Terms") -> "Term":  # noqa: PLR0911 - a case each
        match self.kind:
            case "set":
                return terms.end if characters.has(self.ranges, code) else terms.nothing
            case "cat":
                first, rest = self.parts[0], terms.cat(self.parts[1:])
                found = terms.cat((first.after(before, code, terms), rest))
                skips = first.ends((before, code))
                return terms.either((found, rest.after(before, code, terms))) if skips else found
            case "or":
                return terms.either(part.after(before, code, terms) for part in self.parts)
            case "and":
                return terms.both(part.after(before, code, terms) for part in self.parts)
            case "not":
                return terms.inverse(self.parts[0].after(before, code, terms))
            case "repeat":
                most = None if self.most is None else self.most - 1
                least = 0 if self.parts[0].ends((before, code)) else max(self.least - 1, 0)
                again = terms.repeat(self.parts[0], least, most)
                return terms.cat((self.parts[0].after(before, code, terms), again))
        return terms.nothing


def _is_behind(term: Term, before: int | None, after: int | None) -> bool:
    if term.least == BEGIN:
        return before is None
    known = before is not None and characters.has(term.ranges, before)
    if term.least in (EDGE, INSIDE):
        return (known != (after is not None and characters.has(term.ranges, after))) == (term.least == EDGE)
    return known == (term.least == AFTER)


def _sum(highs: Iterable[int | None]) -> int | None:
    found = list(highs)
    return None if None in found else sum(high for high in found if high is not None)


def _largest(highs: Iterable[int | None]) -> int | None:
    found = list(highs)
    return None if None in found else max((high for high in found if high is not None), default=0)


class Terms:
    """Makes terms, in a simple form: what is the same language often is the same term then."""

    def __init__(self, seconds: float = MAX_S) -> None:
        self._made: dict[tuple[object, ...], Term] = {}
        self._until = time.process_time() + seconds
        self.end = self._make("end")
        self.nothing = self._make("or")

    @cached_property
    def anything(self) -> Term:
        return self.repeat(self.set(characters.ALL), 0, None)

    def set(self, ranges: Ranges) -> Term:
        return self._make("set", ranges=ranges) if ranges else self.nothing

    def behind(self, where: int, ranges: Ranges = ()) -> Term:
        return self._make("behind", ranges=ranges, least=where)

    def text(self, text: str) -> Term:
        return self.cat(self.set(characters.texts(one)) for one in text)

    def cat(self, parts: Iterable[Term]) -> Term:
        flat: list[Term] = []
        for part in parts:
            flat += part.parts if part.kind == "cat" else () if part is self.end else (part,)
        if self.nothing in flat:
            return self.nothing
        return flat[0] if len(flat) == 1 else self._make("cat", tuple(flat)) if flat else self.end

    def either(self, parts: Iterable[Term]) -> Term:
        flat = {one: None for part in parts for one in (part.parts if part.kind == "or" else (part,))}
        if self.anything in flat:
            return self.anything
        sets = [part for part in flat if part.kind == "set"]
        others = [part for part in flat if part.kind != "set"]
        if sets:
            others.append(self.set(characters.union(*(one.ranges for one in sets))))
        return others[0] if len(others) == 1 else self._make("or", tuple(sorted(others, key=id)))

    def both(self, parts: Iterable[Term]) -> Term:
        flat = {one: None for part in parts for one in (part.parts if part.kind == "and" else (part,))}
        flat.pop(self.anything, None)
        if self.nothing in flat:
            return self.nothing
        found: list[Term] = []
        for part in flat:
            self._narrow(found, part)
        if self.nothing in found or (len(found) > 1 and _apart(found)):
            return self.nothing
        if self.end in found:
            rest = [part for part in found if part.placed]
            if not all(part.placed or part.ends(NOWHERE) for part in found):
                return self.nothing
            found = [self.end, *rest]
        return (
            found[0]
            if len(found) == 1
            else self._make("and", tuple(sorted(found, key=id)))
            if found
            else self.anything
        )

    def inverse(self, part: Term) -> Term:
        if part.kind == "not":
            return part.parts[0]
        if part is self.anything:
            return self.nothing
        return self.anything if part is self.nothing else self._make("not", (part,))

    def repeat(self, part: Term, least: int, most: int | None) -> Term:
        least = 0 if not part.placed and part.ends(NOWHERE) else least
        if part is self.nothing or part is self.end or most == 0:
            return self.end if least == 0 else self.nothing
        if part.kind == "repeat" and part.least == 0 and part.most is None:
            return part
        return part if least == most == 1 else self._make("repeat", (part,), (), least, most)

    def _narrow(self, found: list[Term], part: Term) -> None:
        """Join `part` to what is there, where both are so many characters of a set."""
        for place, other in enumerate(found):
            joined = self._joined(other, part)
            if joined is not None:
                del found[place]
                self._narrow(found, joined)
                return
        found.append(part)

    def _joined(self, one: Term, other: Term) -> Term | None:
        if one.kind == other.kind == "set":
            return self.set(characters.common(one.ranges, other.ranges))
        counts = [self._count(part) for part in (one, other)]
        if counts[0] is not None and counts[1] is not None:
            (first, low, high), (second, low2, high2) = counts[0], counts[1]
            ranges = characters.common(first, second)
            most = high2 if high is None else high if high2 is None else min(high, high2)
            least = max(low, low2)
            return (
                self.nothing
                if most is not None and least > most
                else self.repeat(self.set(ranges), least, most)
            )
        for bound, part in ((one, other), (other, one)):
            narrowed = self._within(bound, part)
            if narrowed is not None:
                return narrowed
        return None

    def _count(self, part: Term) -> tuple[Ranges, int, int | None] | None:
        if part.kind == "repeat" and part.parts[0].kind == "set":
            return part.parts[0].ranges, part.least, part.most
        return None

    def _within(self, bound: Term, part: Term) -> Term | None:
        """`part` with a number of characters that `bound` allows, where no machine is needed to say so."""
        counted = self._count(bound)
        if counted is None or counted[0] != characters.ALL:
            return None
        _, least, most = counted
        low, high = part.width
        if low >= least and (most is None or (high is not None and high <= most)):
            return part
        if part.kind == "cat":
            size, longest = part.parts[0].width
            if size and size == longest:
                if most is not None and most < size:
                    return self.nothing
                rest = self.repeat(
                    self.set(characters.ALL), max(least - size, 0), None if most is None else most - size
                )
                return self.cat((part.parts[0], self.both((self.cat(part.parts[1:]), rest))))
            last = part.parts[-1]
            size, longest = last.width
            if size and size == longest and not (most is not None and most < size):
                rest = self.repeat(
                    self.set(characters.ALL), max(least - size, 0), None if most is None else most - size
                )
                return self.cat((self.both((self.cat(part.parts[:-1]), rest)), last))
        return None

    def _make(
        self,
        kind: Kind,
        parts: tuple[Term, ...] = (),
        ranges: Ranges = (),
        least: int = 0,
        most: int | None = 0,
    ) -> Term:
        key = (kind, parts, ranges, least, most)
        if key not in self._made:
            if len(self._made) >= MAX_TERMS or time.process_time() > self._until:
                raise TooLarge
            self._made[key] = Term(kind, parts, ranges, least, most)
        return self._made[key]


def _apart(parts: list[Term]) -> bool:
    """Whether one's texts are all longer than another's."""
    low = max(part.width[0] for part in parts)
    return any(part.width[1] is not None and part.width[1] < low for part in parts)
