"""Members in a fixed order, some of which may be left out: the properties of an object, or items that differ."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.json_grammar.gbnf import BLANK, Rules, choice

SEPARATOR: Final = f'"," {BLANK}'
MAX_PLACES: Final = 8000
"""Members times counts of them: beyond, counts are left to the check."""


class Member(NamedTuple):
    body: str
    needed: bool = False


def ordered(
    rules: Rules, members: Sequence[Member], others: Sequence[str], least: int, most: int | None
) -> str | None:
    """The members in order and then any number of `others`, `least` to `most` of all; None where that can't be."""
    needed = sum(member.needed for member in members)
    bound = max(least, most or 0)
    counts = least > needed or (most is not None and (bool(others) or most < len(members)))
    if not counts or len(members) * bound > MAX_PLACES:
        return _Row(rules, members, others, least=0, most=None, cap=1).rule()
    return _Row(rules, members, others, least=least, most=most, cap=bound + (most is None)).rule()


class _Row:
    """`cap` is the highest count that is told from others; without bounds it tells whether any came."""

    def __init__(
        self,
        rules: Rules,
        members: Sequence[Member],
        others: Sequence[str],
        *,
        least: int,
        most: int | None,
        cap: int,
    ) -> None:
        self._rules = rules
        self._others = others
        self._least = least
        self._most = most
        self._cap = max(cap, 1)
        self._members = members

    def rule(self) -> str | None:
        """From the end to the beginning: what can't come to an end is no way."""
        after = self._ends()
        for member in reversed(self._members):
            after = [self._before(member, after, count) for count in range(self._cap + 1)]
        return after[0]

    def _before(self, member: Member, after: list[str | None], count: int) -> str | None:
        ways = []
        if self._most is None or count < self._most:
            rest = after[min(count + 1, self._cap)]
            if rest is not None:
                ways.append(self._joined(member.body, rest, count))
        rest = after[count]
        if not member.needed and rest is not None:
            ways.append(rest)
        return self._rules.add(choice(ways)) if ways else None

    def _joined(self, body: str, rest: str, count: int) -> str:
        return f"{SEPARATOR} ({body}) {rest}" if count else f"({body}) {rest}"

    def _ends(self) -> list[str | None]:
        """What comes behind the members, by how many there were."""
        found: list[str | None] = [None] * (self._cap + 1)
        other = self._rules.add(choice(self._others)) if self._others else None
        for count in range(self._cap, -1, -1):
            ways = ['""'] if count >= self._least else []
            if other is not None and (self._most is None or count < self._most):
                if count == self._cap:
                    name = self._rules.reserve()
                    self._rules.fill(name, choice([*ways, self._joined(other, name, count)]))
                    found[count] = name
                    continue
                rest = found[count + 1]
                if rest is not None:
                    ways.append(self._joined(other, rest, count))
            found[count] = self._rules.add(choice(ways)) if ways else None
        return found
