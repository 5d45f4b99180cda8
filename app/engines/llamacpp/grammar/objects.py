"""JSON objects as rules of a grammar: one place after the other, as a machine that reads all alternatives at once.

Where several objects are allowed, a place is the set of places that each of them may have come to: the key that comes
next says which of them go on, and so does its value, where all of them name theirs (`{"kind": "circle", …}`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.engines.llamacpp.grammar.prefix_tree import TooWide, branches, keys
from app.json_grammar.gbnf import BLANK, Rules, choice, repeated

SEPARATOR: Final = f'"," {BLANK}'
MAX_STEPS: Final = 4096
"""From a place to a next one, in all objects of a schema. What has more is written with its properties in any order."""

Places = frozenset[tuple[int, int]]
"""An alternative's number, and how many of its properties are behind."""
Step = tuple[int, int, tuple[Any, ...]]
"""The place that a property leads to, and the schemas of its value."""


class _TooManySteps(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Form:
    """One alternative. `names` are those of its properties, and of those that it forbids; `others` are schemas of
    properties that it does not name, none where there are none.
    """

    properties: tuple[tuple[str, Any], ...]
    names: frozenset[str]
    required: frozenset[str]
    others: tuple[Any, ...]
    least: int
    most: int | None


class Objects:
    """`rule` names the rule for values that any of some schemas allows, `texts` are those values where they are named."""

    def __init__(
        self,
        rules: Rules,
        rule: Callable[[Sequence[Any]], str],
        texts: Callable[[Sequence[Any]], list[str] | None],
    ) -> None:
        self._rules = rules
        self._rule = rule
        self._texts = texts
        self._steps_left = MAX_STEPS

    def body(self, schemas: Sequence[dict[str, Any]]) -> str:
        return self._rules.add(f'"{{" {BLANK} {self._members([_form(one) for one in schemas])} {BLANK} "}}"')

    def _members(self, forms: list[_Form]) -> str:
        if not any(form.names for form in forms):
            return self._unnamed(forms)
        try:
            return self._in_order(forms)
        except _TooManySteps:
            return self._in_any_order(forms)

    def _unnamed(self, forms: list[_Form]) -> str:
        others = _others(forms)
        member = self._rules.add(f'string ":" {BLANK} {self._rule(others)}') if others else None
        counts = [form.most for form in forms]
        most = None if None in counts else max(count for count in counts if count is not None)
        return listed(member, min(form.least for form in forms), most)

    def _in_any_order(self, forms: list[_Form]) -> str:
        others = _others(forms)
        values: dict[str, list[Any]] = {name: [] for form in forms for name, _ in form.properties}
        for name in sorted({name for form in forms for name in form.names}) if others else values:
            values[name] = _others([form for form in forms if name not in form.names])
        for name, value in (pair for form in forms for pair in form.properties):
            values[name].append(value)
        named = {
            name: self._after_key(self._rule(schemas)) if schemas else None
            for name, schemas in values.items()
        }
        other = self._after_key(self._rule(others)) if others else None
        member = self._rules.add(keys(self._rules, _escaped(named), other))
        return listed(member, 0, None)

    def _in_order(self, forms: list[_Form]) -> str:
        """The rule for what comes after the brace. Raises _TooManySteps."""
        begin = frozenset((number, 0) for number in range(len(forms)))
        rules = {(begin, False): self._rules.reserve()}
        waiting = [(begin, False)]

        def after(places: Places) -> str:
            if (places, True) not in rules:
                rules[places, True] = self._rules.reserve()
                waiting.append((places, True))
            return rules[places, True]

        while waiting:
            places, begun = waiting.pop()
            self._rules.fill(rules[places, begun], self._next(forms, places, after, begun=begun))
        return rules[begin, False]

    def _next(
        self, forms: list[_Form], places: Places, after: Callable[[Places], str], *, begun: bool
    ) -> str:
        named, others, ends = _steps(forms, places)
        self._steps_left -= sum(map(len, named.values()))
        if self._steps_left < 0:
            raise _TooManySteps
        named_keys = {name: self._value(steps, after) if steps else None for name, steps in named.items()}
        other = self._value(others, after) if others else None
        end = ['""'] if ends else []
        if not named_keys and other is None:
            return '""'
        key = keys(self._rules, _escaped(named_keys), other)
        return choice([f"{SEPARATOR} {key}" if begun else key, *end])

    def _value(self, steps: list[Step], after: Callable[[Places], str]) -> str:
        """A value and what follows it, with the colon."""
        forked = self._forked(steps, after)
        if forked is not None:
            return self._rules.add(f'":" {BLANK} {forked}')
        value = self._rule([schema for _, _, schemas in steps for schema in schemas])
        places = frozenset((number, place) for number, place, _ in steps)
        return self._after_key(value, after(places))

    def _after_key(self, value: str, follows: str = "") -> str:
        return self._rules.add(f'":" {BLANK} {value} {follows}'.rstrip())

    def _forked(self, steps: list[Step], after: Callable[[Places], str]) -> str | None:
        """The value's text decides which alternatives go on; None where it does not."""
        places: dict[str, set[tuple[int, int]]] = {}
        for number, place, schemas in steps:
            texts = self._texts(schemas)
            if texts is None:
                return None
            for text in texts:
                places.setdefault(text, set()).add((number, place))
        if len({frozenset(found) for found in places.values()}) == 1:
            return None
        try:
            branches(dict.fromkeys(places, ""))
        except TooWide:  # before there are rules for what would follow
            return None
        return branches({text: after(frozenset(found)) for text, found in places.items()})


def listed(item: str | None, least: int, most: int | None) -> str:
    """So many of them, with separators."""
    if item is None or most == 0:
        return ""
    more = repeated(f"{SEPARATOR} {item}", max(least - 1, 0), None if most is None else max(most - 1, 0))
    return f"{item} {more}" if least else f"({item} {more})?"


def bound(schema: dict[str, Any], word: str) -> int | None:
    value = schema.get(word)
    return int(value) if isinstance(value, int | float) and value >= 0 else None


def is_possible(schema: dict[str, Any]) -> bool:
    """Whether an object of this schema need not have what it forbids."""
    properties: dict[str, Any] = schema.get("properties") or {}
    return all(properties.get(name) is not False for name in schema.get("required", ()))


def _form(schema: dict[str, Any]) -> _Form:
    properties: dict[str, Any] = schema.get("properties") or {}
    required = schema.get("required", ())
    all_named = {**properties, **{name: True for name in required if name not in properties}}
    named = {name: value for name, value in all_named.items() if value is not False}
    patterns = schema.get("patternProperties", {})
    additional = schema.get("additionalProperties", not named and not patterns)
    return _Form(
        properties=tuple(named.items()),
        names=frozenset(all_named),
        required=frozenset(required),
        others=(*patterns.values(), *([] if additional is False else [additional])),
        least=bound(schema, "minProperties") or 0,
        most=bound(schema, "maxProperties"),
    )


def _steps(forms: list[_Form], places: Places) -> tuple[dict[str, list[Step]], list[Step], bool]:
    """What may come next by its key, what under any other key, and whether all may end here. A key without a way on
    is one that is behind or forbidden, and no other.
    """
    named: dict[str, list[Step]] = {}
    others: list[Step] = []
    ends = False
    for number, behind in sorted(places):
        form = forms[number]
        for place, (name, value) in enumerate(form.properties[behind:], behind + 1):
            named.setdefault(name, []).append((number, place, (value,)))
            if name in form.required:
                break
        else:
            ends = True
            if form.others:
                others.append((number, len(form.properties), form.others))
    for number, _, _ in others:
        for name in sorted(forms[number].names):
            named.setdefault(name, [])
    for name, steps in named.items():
        steps += [step for step in others if name not in forms[step[0]].names]
    return named, others, ends


def _others(forms: list[_Form]) -> list[Any]:
    return [schema for form in forms for schema in form.others]


def _escaped(named: dict[str, str | None]) -> dict[str, str | None]:
    """By keys as JSON has them, without the quotes."""
    return {json.dumps(name, ensure_ascii=False)[1:-1]: after for name, after in named.items()}
