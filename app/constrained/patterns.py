"""ECMA-262 patterns as languages of whole texts: a pattern's text may stand anywhere in them, as JSON Schema says."""

from typing import Final

from app.constrained import characters
from app.constrained.ecma import Chars, Either, Group, Look, Mark, Node, Repeat, Sequence, parse, ranges_of
from app.constrained.language import AFTER, BEGIN, EDGE, INSIDE, NOT_AFTER, Term, Terms

MAX_UNROLLED: Final = 12
"""Repetitions of what looks at the text around it."""


class NoLanguage(ValueError):
    """The pattern is not regular, or is not known to be."""


def pattern_term(terms: Terms, pattern: str) -> Term:
    """All texts that the pattern is found in. Raises NoLanguage, NotEcma or TooLarge."""
    return _anywhere(terms, _Reading(terms).read(parse(pattern), terms.anything))


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
