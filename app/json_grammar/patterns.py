"""ECMA-262 patterns as languages of whole texts: a pattern's text may stand anywhere in them, as JSON Schema says."""

from collections.abc import Iterator
from typing import Final

from app.json_grammar import characters
from app.json_grammar.ecma import (
    Back,
    Chars,
    Either,
    Group,
    Look,
    Mark,
    Node,
    Repeat,
    Sequence,
    parse,
    ranges_of,
)
from app.json_grammar.language import AFTER, BEGIN, EDGE, INSIDE, NOT_AFTER, Term, Terms

MAX_UNROLLED: Final = 12
"""Repetitions of what looks at the text around it."""


class NoLanguage(ValueError):
    """The pattern is not regular, or is not known to be."""


def pattern_term(terms: Terms, pattern: str) -> Term:
    """All texts that the pattern is found in. Raises NoLanguage, NotEcma or TooLarge."""
    found = (_Reading(terms).read(node, terms.anything) for node in _without_back(parse(pattern)))
    return terms.either(_anywhere(terms, one) for one in found)


def _anywhere(terms: Terms, found: Term) -> Term:
    """With any text before it, where it does not say that it is at the beginning."""
    if found.kind == "or":
        return terms.either(_anywhere(terms, part) for part in found.parts)
    begin = terms.behind(BEGIN)
    if found is begin:
        return terms.end
    if found.kind == "cat" and found.parts[0] is begin:
        return terms.cat(found.parts[1:])
    return terms.cat((terms.anything, found))


def _without_back(node: Node) -> list[Node]:
    """The same as alternatives without references to groups of one character: one for each that it may be."""
    groups = list(_groups(node))
    for number, group in enumerate(groups, 1):
        if any(back.group == number for back in _backs(node)):
            codes = _few(group.part)
            return [
                one
                for code in codes
                for one in _without_back(_replaced(node, group, number, Chars(((code, code),))))
            ]
    return [node]


def _few(node: Node) -> list[int]:
    """The characters of a set of few. Raises NoLanguage for anything else."""
    ranges = ranges_of(node) if isinstance(node, Chars) else ()
    if not ranges or sum(high - low + 1 for low, high in ranges) > MAX_UNROLLED:
        raise NoLanguage
    return [code for low, high in ranges for code in range(low, high + 1)]


def _inner(node: Node) -> tuple[Node, ...]:
    match node:
        case Sequence(parts) | Either(parts):
            return parts
        case Group(part) | Repeat(part) | Look(part):
            return (part,)
    return ()


def _groups(node: Node) -> Iterator[Group]:
    """In the order of their numbers."""
    if isinstance(node, Group):
        yield node
    for part in _inner(node):
        yield from _groups(part)


def _backs(node: Node) -> Iterator[Back]:
    if isinstance(node, Back):
        yield node
    for part in _inner(node):
        yield from _backs(part)


def _replaced(node: Node, group: Group, number: int, by: Node) -> Node:  # noqa: PLR0911 - a case each
    """With `by` in the group and wherever it is referred to."""

    def again(part: Node) -> Node:
        return _replaced(part, group, number, by)

    match node:
        case Back(found):
            return by if found == number else node
        case Group(part):
            return Group(by if node is group else again(part))
        case Sequence(parts):
            return Sequence(tuple(map(again, parts)))
        case Either(options):
            return Either(tuple(map(again, options)))
        case Repeat(part, least, most):
            return Repeat(again(part), least, most)
        case Look(part, ahead, negated):
            return Look(again(part), ahead, negated)
    return node


class _Reading:
    """From its end to its beginning: what is looked for ahead restricts all that comes behind."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def read(self, node: Node, behind: Term) -> Term:  # noqa: PLR0911 - a case each
        """The node and then `behind`, to the end of the text."""
        terms = self._terms
        match node:
            case Chars():
                return terms.cat((self._set(node), behind))
            case Sequence(parts):
                for part in reversed(parts):
                    behind = self.read(part, behind)
                return behind
            case Either(options) if not _is_plain(node):
                return terms.either(self.read(option, behind) for option in options)
            case Either(options):
                whole = terms.either(self.read(option, terms.end) for option in options)
                return terms.cat((whole, behind))
            case Group(part):
                return self.read(part, behind)
            case Repeat(part, least, most):
                return self._repeated(part, least, most, behind)
            case Look(part, ahead, negated):
                return self._looked(part, behind, ahead=ahead, negated=negated)
            case Mark(kind):
                return self._marked(kind, behind)
        raise NoLanguage

    def _repeated(self, part: Node, least: int, most: int | None, behind: Term) -> Term:
        if _is_plain(part):
            once = self.read(part, self._terms.end)
            return self._terms.cat((self._terms.repeat(once, least, most), behind))
        if most is None or most > MAX_UNROLLED:
            raise NoLanguage
        found, ways = behind, [behind] if least == 0 else []
        for count in range(1, most + 1):
            found = self.read(part, found)
            ways += [found] if count >= least else []
        return self._terms.either(ways)

    def _looked(self, part: Node, behind: Term, *, ahead: bool, negated: bool) -> Term:
        terms = self._terms
        if ahead:
            seen = self.read(part, terms.anything)
            return terms.both((behind, terms.inverse(seen) if negated else seen))
        while isinstance(part, Group):
            part = part.part
        if not isinstance(part, Chars):
            raise NoLanguage
        return terms.cat((terms.behind(NOT_AFTER if negated else AFTER, ranges_of(part)), behind))

    def _marked(self, kind: str, behind: Term) -> Term:
        terms = self._terms
        if kind == "$":
            return terms.both((behind, terms.end))
        where = {"^": BEGIN, "b": EDGE, "B": INSIDE}[kind]
        return terms.cat((terms.behind(where, () if kind == "^" else characters.WORD), behind))

    def _set(self, node: Chars) -> Term:
        try:
            return self._terms.set(ranges_of(node))
        except ValueError:
            raise NoLanguage from None


def _is_plain(node: Node) -> bool:
    """Whether it looks at nothing around it."""
    match node:
        case Chars():
            return True
        case Sequence(parts) | Either(parts):
            return all(map(_is_plain, parts))
        case Group(part) | Repeat(part):
            return _is_plain(part)
    return False
