"""Arrays of a plain schema as bodies of rules."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.json_grammar.forms import Forms
from app.json_grammar.gbnf import BLANK, CannotConvert, Rules, literal
from app.json_grammar.merging import Form, both
from app.json_grammar.rows import Member, ordered

SEPARATOR: Final = f'"," {BLANK}'
MAX_NAMED: Final = 40
"""Values of the items of a list without equal ones, which then come in the schema's order."""


class Lists:
    """`rule` names the rule for what satisfies a schema; it raises CannotConvert where nothing does."""

    def __init__(self, rules: Rules, forms: Forms, rule: Callable[[Any], str]) -> None:
        self._rules = rules
        self._forms = forms
        self._rule = rule

    def bodies(self, form: Form) -> Sequence[str]:
        """None, or one."""
        first, rest = form.get("prefixItems", []), form.get("items", not form.get("prefixItems"))
        least, most = int(form.get("minItems", 0)), form.get("maxItems")
        most = None if most is None else int(most)
        if form.get("uniqueItems") and not first:
            named = self._named(rest)
            if named is not None and not form.get("+contains"):
                inside = ordered(self._rules, [Member(literal(text)) for text in named], [], least, most)
                return [] if inside is None else [_listed(inside)]
        for wanted, count, limit in form.get("+contains", ()):
            first, rest = self._containing(first, rest, wanted, int(count), limit)
            least = max(least, len(first))
        inside = self._row(first, rest, least, most)
        return [] if inside is None else [_listed(inside)]

    def _containing(
        self, first: list[Any], rest: Any, wanted: Any, count: int, limit: int | None
    ) -> tuple[list[Any], Any]:
        """The first so many items are what must be contained; no more are where there is a limit."""
        if first:
            return [both(one, wanted) if place < count else one for place, one in enumerate(first)], rest
        if limit is not None:
            denied = self._forms.denied(wanted)
            return [both(rest, wanted)] * count, rest if denied is None else both(rest, {"anyOf": denied})
        return [both(rest, wanted)] * count, rest

    def _row(self, first: list[Any], rest: Any, least: int, most: int | None) -> str | None:
        """What stands in the brackets: all that have a schema of their own, unless there may be fewer."""
        rules: list[str] = []
        for item in first[: len(first) if most is None else most]:
            name = self._possible(item)
            if name is None:
                rest = False
                break
            rules.append(name)
        if len(rules) < min(len(first), least):
            return None
        more = self._possible(rest) if rest is not False and (most is None or most > len(rules)) else None
        if more is None:
            return f" {SEPARATOR} ".join(rules) if len(rules) >= least else None
        left = None if most is None else most - len(rules)
        if rules:
            counted = _counted(f"{SEPARATOR} {more}", max(least - len(rules), 0), left)
            return f" {SEPARATOR} ".join(rules) + f" {counted}"
        repeated = _counted(f"{SEPARATOR} {more}", max(least - 1, 0), None if left is None else left - 1)
        return f"{more} {repeated}" if least else f"({more} {repeated})?"

    def _possible(self, schema: Any) -> str | None:
        try:
            return self._rule(schema)
        except CannotConvert:
            return None

    def _named(self, schema: Any) -> list[str] | None:
        """The values themselves in JSON, where there are few and each is named."""
        values: list[Any] = []
        for form in self._forms.of(schema):
            if "enum" in form:
                values += form["enum"]
            elif form.get("type") == ["boolean"]:
                values += [True, False]
            elif form.get("type") == ["integer"] and {"minimum", "maximum"} <= form.keys():
                span = range(int(form["minimum"]), int(form["maximum"]) + 1)
                if len(span) > MAX_NAMED or form.keys() - {"type", "minimum", "maximum"}:
                    return None
                values += span
            else:
                return None
        texts = list({json.dumps(value, sort_keys=True, ensure_ascii=False): None for value in values})
        return texts if len(texts) <= MAX_NAMED else None


def _listed(inside: str) -> str:
    return f'"[" {BLANK} {inside} {BLANK} "]"' if inside else f'"[" {BLANK} "]"'


def _counted(part: str, least: int, most: int | None) -> str:
    if most is None:
        return f"({part})*" if not least else f"({part}){{{least},}}"
    return f"({part}){{{least},{most}}}" if most > 0 else ""
