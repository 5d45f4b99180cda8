"""A language as a machine that has read one state's worth of text: each character leads to one state, or to none."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from app.json_grammar import characters
from app.json_grammar.characters import Ranges
from app.json_grammar.language import Term, Terms, TooLarge

MAX_STATES: Final = 1000
MAX_KINDS: Final = 200
MAX_STEPS: Final = 200_000

S = TypeVar("S", bound=Hashable)


class Source(Protocol[S]):
    """`kinds` are sets of characters that nothing tells apart, all those that may occur; `step` gives None for a state
    from which no text can end.
    """

    @property
    def begin(self) -> S: ...
    @property
    def kinds(self) -> tuple[Ranges, ...]: ...
    def step(self, state: S, kind: int) -> S | None: ...
    def ends(self, state: S) -> bool: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """State 0 is the first. `steps` are a state's ways on, `ends` says whether a text may end there."""

    steps: tuple[tuple[tuple[Ranges, int], ...], ...]
    ends: tuple[bool, ...]

    @property
    def empty(self) -> bool:
        return not self.steps


TermState = tuple[Term, int | None]
"""What may follow, and the character before it where that matters."""


class TermSource:
    """The states are terms."""

    def __init__(self, terms: Terms, begin: Term) -> None:
        self._terms = terms
        self.begin: TermState = (begin, None)
        sets, behind = _sets(begin)
        self.kinds = tuple(_told_apart((*sets, *behind)))
        groups = _told_apart(behind)
        self._group = [
            next(group[0][0] for group in groups if characters.has(group, kind[0][0])) for kind in self.kinds
        ]

    def step(self, state: TermState, kind: int) -> TermState | None:
        term, before = state
        after = term.after(before, self.kinds[kind][0][0], self._terms)
        if after is self._terms.nothing:
            return None
        return after, self._group[kind] if after.placed else None

    def ends(self, state: TermState) -> bool:
        return state[0].ends((state[1], None))


def _sets(term: Term) -> tuple[set[Ranges], set[Ranges]]:
    """All sets of characters in it, and those that are looked for before a place."""
    found: set[Ranges] = set()
    behind: set[Ranges] = set()
    seen: set[Term] = set()
    waiting = [term]
    while waiting:
        part = waiting.pop()
        if part not in seen:
            seen.add(part)
            waiting += part.parts
            if part.ranges:
                (behind if part.kind == "behind" else found).add(part.ranges)
    return found, behind


def _told_apart(sets: Iterable[Ranges]) -> list[Ranges]:
    """All characters by which of the sets they are in."""
    groups: list[Ranges] = [characters.ALL]
    for ranges in sets:
        rest = characters.complement(ranges)
        halves = [characters.common(group, half) for group in groups for half in (ranges, rest)]
        groups = [half for half in halves if half]
        if len(groups) > MAX_KINDS:
            raise TooLarge
    return groups


@dataclass(slots=True)
class _Building(Generic[S]):
    numbers: dict[S, int]
    steps: list[dict[int, Ranges]]
    ends: list[bool]


def machine_of(source: Source[S], max_states: int = MAX_STATES) -> Machine:
    """Without states from which no text can end; without any where there is no text. Raises TooLarge."""
    made: _Building[S] = _Building({source.begin: 0}, [], [])
    waiting = [source.begin]
    left = MAX_STEPS
    while waiting:
        states, waiting = waiting, []
        for state in states:
            steps: dict[int, Ranges] = {}
            left -= len(source.kinds)
            if left < 0:
                raise TooLarge
            for kind, ranges in enumerate(source.kinds):
                after = source.step(state, kind)
                if after is None:
                    continue
                if after not in made.numbers:
                    if len(made.numbers) >= max_states:
                        raise TooLarge
                    made.numbers[after] = len(made.numbers)
                    waiting.append(after)
                number = made.numbers[after]
                steps[number] = characters.union(steps.get(number, ()), ranges)
            made.steps.append(steps)
            made.ends.append(source.ends(state))
    return _pruned(made.steps, made.ends)


def _pruned(steps: list[dict[int, Ranges]], ends: list[bool]) -> Machine:
    before: dict[int, list[int]] = {}
    for state, ways in enumerate(steps):
        for after in ways:
            before.setdefault(after, []).append(state)
    alive = {state for state, end in enumerate(ends) if end}
    waiting = list(alive)
    while waiting:
        for state in before.get(waiting.pop(), ()):
            if state not in alive:
                alive.add(state)
                waiting.append(state)
    if 0 not in alive:
        return Machine((), ())
    numbers = {state: number for number, state in enumerate(sorted(alive))}
    kept = [
        [(ranges, numbers[after]) for after, ranges in steps[state].items() if after in alive]
        for state in numbers
    ]
    return Machine(tuple(map(tuple, kept)), tuple(ends[state] for state in numbers))
