"""Numbers within bounds, or multiples of one, as machines that read them digit by digit."""

from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from math import lcm
from typing import Any, Final, NamedTuple

from app.json_grammar import characters
from app.json_grammar.characters import Ranges
from app.json_grammar.gbnf import Rules
from app.json_grammar.language import TooLarge
from app.json_grammar.machine import machine_of
from app.json_grammar.merging import Form
from app.json_grammar.texts import machine_rule

MOST_DIGITS: Final = 15
"""Before the point, where the schema does not ask for more: a JSON number has no more in most languages."""

DECIMALS: Final = 4
"""Behind the point, beyond those of the bounds."""

MAX_DECIMALS: Final = 12
MAX_MULTIPLE: Final = 20_000
"""A state for each remainder."""

WORDS: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "+multiples", "+without")


def number_body(rules: Rules, form: Form, *, whole: bool) -> str | None:
    """The body of a rule, None where no number satisfies it. What can't be said is left to the check."""
    free = "integer" if whole else "number"
    if not any(word in form for word in WORDS):
        return free
    try:
        numbers = Numbers(form, whole=whole)
        machine = machine_of(numbers) if numbers.is_sayable else None
    except (TooLarge, ArithmeticError):
        return free
    if machine is None:
        return free
    return None if machine.empty else machine_rule(rules, machine, '""')


class Reading(NamedTuple):
    """`digits` have been read, all of them as one whole number; `decimals` of them behind the point, None before it."""

    negative: bool
    value: int | None
    decimals: int | None
    known: tuple[Any, ...]
    """What all that may follow depends on: equal for numbers that nothing tells apart any more."""


class Numbers:
    """The numbers that a plain schema allows, a source for `app.json_grammar.machine`."""

    def __init__(self, form: Form, *, whole: bool) -> None:
        self._multiple, self._not = _multiples(form)
        low, high = _range(form)
        self._decimals = 0 if whole else self._needed((low, high))
        scale = 10**self._decimals
        self._low, self._high = -int(-low * scale // 1), int(high * scale // 1)
        if _fraction(form.get("exclusiveMinimum", low - 1)) * scale == self._low:
            self._low += 1
        if _fraction(form.get("exclusiveMaximum", high + 1)) * scale == self._high:
            self._high -= 1
        self._every = _scaled(self._multiple, scale) if self._multiple else 1
        self._never = [_scaled(one, scale) for one in self._not]
        self._cycle = lcm(self._every, *self._never)
        self._without = frozenset(
            _fraction(one) * scale for one in form.get("+without", ()) if _is_number(one)
        )
        self._most_digits = len(str(max(abs(self._low), abs(self._high)) // scale))
        self.is_sayable = self._cycle <= MAX_MULTIPLE

    def _needed(self, bounds: tuple[Fraction, Fraction]) -> int:
        """Decimals: those of a multiple are enough, and bounds are met with some more than they have."""
        if self._multiple:
            return _places(self._multiple)
        needed = max(_places(one) for one in (*bounds, *self._not))
        return min(needed + (1 if self._not else DECIMALS), MAX_DECIMALS)

    @cached_property
    def kinds(self) -> tuple[Ranges, ...]:
        return tuple(characters.texts(one) for one in "0123456789-.")

    @property
    def begin(self) -> Reading:
        return Reading(False, None, None, ("begin",))

    def step(self, state: Reading, kind: int) -> Reading | None:
        character = "0123456789-."[kind]
        if character == "-":
            return Reading(True, None, None, ("minus",)) if state == self.begin and self._low < 0 else None
        if character == ".":
            ready = state.value is not None and state.decimals is None and self._decimals
            return self._read(state.negative, state.value or 0, 0) if ready else None
        if state.decimals is None:
            if state.value == 0:
                return None
            return self._read(state.negative, (state.value or 0) * 10 + kind, None)
        if state.decimals == self._decimals:
            return None
        return self._read(state.negative, (state.value or 0) * 10 + kind, state.decimals + 1)

    def ends(self, state: Reading) -> bool:
        if state.value is None or state.decimals == 0:
            return False
        scaled = state.value * 10 ** (self._decimals - (state.decimals or 0))
        if state.negative and not scaled:
            return False
        signed = -scaled if state.negative else scaled
        return (
            self._low <= signed <= self._high
            and signed % self._every == 0
            and all(signed % one for one in self._never)
            and signed not in self._without
        )

    def _read(self, negative: bool, value: int, decimals: int | None) -> Reading | None:
        """None where no number that begins so is within the bounds."""
        low, high = (-self._high, -self._low) if negative else (self._low, self._high)
        left = self._decimals - (decimals or 0)
        digits = 0 if decimals is not None else self._most_digits - len(str(value))
        where = tuple(self._where(value, left + more, low, high) for more in range(digits + 1))
        if value == 0 and decimals is None:
            where = where[:1]
        if all(one == "out" for one in where):
            return None
        remainder = value * 10**left % self._cycle if self._cycle > 1 else 0
        exact = value if any(one == "edge" for one in where) or self._without else None
        zero = (value == 0, decimals == 0)
        known = (negative, decimals, digits, where, remainder, exact, zero)
        return _Same(negative, value, decimals, known)

    @staticmethod
    def _where(value: int, left: int, low: int, high: int) -> str:
        """How the numbers that begin with `value` and have so many digits more lie to the bounds."""
        first, last = value * 10**left, (value + 1) * 10**left - 1
        if last < low or first > high:
            return "out"
        return "in" if low <= first and last <= high else "edge"


class _Same(Reading):
    """Equal to another for which the same may follow."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reading) and self.known == other.known

    def __hash__(self) -> int:
        return hash(self.known)


def _multiples(form: Form) -> tuple[Fraction | None, list[Fraction]]:
    wanted = [_fraction(one) for one, holds in form.get("+multiples", ()) if holds]
    denied = [_fraction(one) for one, holds in form.get("+multiples", ()) if not holds]
    if not wanted:
        return None, denied
    bottom = lcm(*(one.denominator for one in wanted))
    return Fraction(lcm(*(int(one * bottom) for one in wanted)), bottom), denied


def _scaled(one: Fraction, scale: int) -> int:
    """The smallest whole number of units that is a multiple of it."""
    return (one * scale).numerator


def _range(form: Form) -> tuple[Fraction, Fraction]:
    """The bounds, with MOST_DIGITS digits where the schema has none or more than that."""
    most = Fraction(10**MOST_DIGITS)
    lows = [_fraction(form[word]) for word in ("minimum", "exclusiveMinimum") if word in form]
    highs = [_fraction(form[word]) for word in ("maximum", "exclusiveMaximum") if word in form]
    low, high = max(lows, default=-most), min(highs, default=most)
    narrower = max(low, min(-most, high - most)), min(high, max(most, low + most))
    return narrower if narrower[0] <= narrower[1] else (low, high)


def _fraction(value: float | Fraction) -> Fraction:
    """What its text says, not what its bits say."""
    return value if isinstance(value, Fraction) else Fraction(Decimal(str(value)))


def _places(one: Fraction) -> int:
    """Decimals that say it exactly, MAX_DECIMALS where more are needed."""
    return next(
        (places for places in range(MAX_DECIMALS) if (one * 10**places).denominator == 1), MAX_DECIMALS
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
