"""Objects of a plain schema as bodies of rules."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from app.json_grammar import characters
from app.json_grammar.forms import Forms
from app.json_grammar.gbnf import BLANK, CannotConvert, Rules, literal
from app.json_grammar.language import Term, Terms, TooLarge
from app.json_grammar.machine import TermSource, machine_of
from app.json_grammar.merging import Form, is_allowed, property_of
from app.json_grammar.patterns import NoLanguage, pattern_term
from app.json_grammar.rows import Member, ordered
from app.json_grammar.texts import QUOTE, machine_rule

MAX_KEY_CHARS: Final = 24
"""Of a name that the schema does not have."""

MAX_TOLD_APART: Final = 8
"""Names that another key must differ from in any place; where there are more, it differs in its first characters."""

MAX_LETTERS: Final = 2


class Objects:
    """`rule` names the rule for what satisfies a schema; it raises CannotConvert where nothing does."""

    def __init__(self, rules: Rules, forms: Forms, rule: Callable[[Any], str]) -> None:
        self._rules = rules
        self._forms = forms
        self._rule = rule

    def bodies(self, form: Form) -> Sequence[str]:
        """None, or one."""
        members = self._members(form)
        if members is None:
            return []
        least, most = int(form.get("minProperties", 0)), form.get("maxProperties")
        others = self._others(form, [name for name, _ in members], least)
        inside = ordered(
            self._rules, [member for _, member in members], others, least, None if most is None else int(most)
        )
        if inside is None:
            return []
        return [f'"{{" {BLANK} {inside} {BLANK} "}}"']

    def _members(self, form: Form) -> list[tuple[str, Member]] | None:
        """Those with names; None where one is needed that can't be."""
        required = list(form.get("required", ()))
        found = []
        for name in dict.fromkeys([*form.get("properties", ()), *required, *self._names(form)]):
            value = self._value(form, name)
            if value is None and name in required:
                return None
            if value is not None:
                body = f'{literal(json.dumps(name, ensure_ascii=False))} ":" {BLANK} {value}'
                found.append((name, Member(body, name in required)))
        return found

    def _value(self, form: Form, name: str) -> str | None:
        """The rule of a property's value, None where the property may not be."""
        if "propertyNames" in form and not any(
            _may_be(one, name) for one in self._forms.of(form["propertyNames"])
        ):
            return None
        schema = property_of(form, name)
        try:
            return None if schema is False else self._rule(schema)
        except CannotConvert:
            return None

    def _names(self, form: Form) -> list[str]:
        """All that there may be, where `propertyNames` names them."""
        if "propertyNames" not in form:
            return []
        named = self._forms.of(form["propertyNames"])
        if not all("enum" in one for one in named):
            return []
        return [name for one in named for name in one["enum"] if isinstance(name, str)]

    def _others(self, form: Form, named: list[str], least: int) -> list[str]:
        """Bodies of properties that have no name in the schema."""
        patterns = form.get("patternProperties", {})
        free = not named and not patterns
        additional = form.get("additionalProperties", free or "propertyNames" in form or least > len(named))
        terms = Terms(self._rules.seconds)
        try:
            allowed = self._keys(terms, form)
            known = {pattern: pattern_term(terms, pattern) for pattern in patterns}
        except (NoLanguage, TooLarge, ValueError):
            return []
        names = {*named, *form.get("properties", ())}
        different = _different(terms, names)
        found = []
        for pattern in patterns:
            others = [terms.inverse(term) for other, term in known.items() if other != pattern]
            found.append((terms.both([known[pattern], *others, allowed, *different]), patterns[pattern]))
        if additional is not False:
            outside = [terms.inverse(term) for term in known.values()]
            found.append((terms.both([*outside, allowed, *different]), additional))
        return [body for term, schema in found for body in self._other(terms, term, schema)]

    def _other(self, terms: Terms, keys: Term, schema: Any) -> Iterable[str]:
        try:
            value = self._rule(schema) if schema is not False else None
        except CannotConvert:
            value = None
        if value is None:
            return []
        short = terms.both((keys, terms.repeat(terms.set(characters.ALL), 0, MAX_KEY_CHARS)))
        for term in (short, keys):
            try:
                machine = machine_of(TermSource(terms, term))
            except TooLarge:
                continue
            if not machine.empty:
                return [f'{QUOTE} {machine_rule(self._rules, machine, QUOTE)} ":" {BLANK} {value}']
        return []

    def _keys(self, terms: Terms, form: Form) -> Term:
        """What `propertyNames` allows. Raises NoLanguage or TooLarge where that can't be said."""
        if "propertyNames" not in form:
            return terms.anything
        return terms.either(self._key(terms, one) for one in self._forms.of(form["propertyNames"]))

    def _key(self, terms: Terms, form: Form) -> Term:
        if "enum" in form:
            return terms.nothing
        if "type" in form and "string" not in form["type"]:
            return terms.nothing
        length = terms.repeat(terms.set(characters.ALL), int(form.get("minLength", 0)), form.get("maxLength"))
        patterns = [(pattern_term(terms, pattern), holds) for pattern, holds in form.get("+patterns", ())]
        without = [terms.inverse(terms.text(one)) for one in form.get("+without", ()) if isinstance(one, str)]
        wanted = (term if holds else terms.inverse(term) for term, holds in patterns)
        return terms.both([length, *wanted, *without])


def _may_be(form: Form, name: str) -> bool:
    return is_allowed(form, name) and ("enum" not in form or name in form["enum"])


def _different(terms: Terms, names: set[str]) -> list[Term]:
    """Any key but these names."""
    if not names:
        return []
    if len(names) <= MAX_TOLD_APART:
        return [terms.inverse(terms.either(map(terms.text, names)))]
    begun = {name[:MAX_LETTERS] for name in names}
    return [terms.inverse(terms.either(terms.cat((terms.text(one), terms.anything)) for one in begun))]
