"""A JSON schema as the rules of a grammar, in GBNF, which xgrammar reads too: one rule for each schema in it.

Answers are written in one line, with properties in the schema's order. A property that the schema does not name comes
only where it speaks of such.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.json_grammar.forms import Forms
from app.json_grammar.gbnf import BLANK, CannotConvert, Rules, choice, literal
from app.json_grammar.language import TooLarge
from app.json_grammar.lists import Lists
from app.json_grammar.merging import KINDS, Form
from app.json_grammar.numbers import number_body
from app.json_grammar.objects import Objects
from app.json_grammar.texts import text_body

IMPLIED: Final = {
    "object": frozenset(
        (
            *("properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
            *("minProperties", "maxProperties"),
        )
    ),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems", "+contains", "uniqueItems")),
    "string": frozenset(("minLength", "maxLength", "+patterns", "+formats")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "+multiples")),
}
"""The kind of value that a schema speaks of by these words."""

NO_VALUE: Final = "no JSON can satisfy it: it needs itself, or two of its rules exclude each other"


def grammar_of(schema: Any, *, loose: bool = False) -> str:
    """Raises CannotConvert with what has no grammar. A `loose` one leaves patterns, lengths and bounds to the check."""
    rules = Rules()
    try:
        forms = Forms(schema)
        root = Writing(rules, forms, loose=loose).rule(forms.root)
    except (RecursionError, TooLarge):
        raise CannotConvert("it is too large") from None
    return rules.reachable(f"{BLANK} {root}")


def loose_grammar_of(schema: Any) -> str:
    """For a schema whose grammar is too much for its engine."""
    return grammar_of(schema, loose=True)


class Writing:
    def __init__(self, rules: Rules, forms: Forms, *, loose: bool = False) -> None:
        self._rules = rules
        self._loose = loose
        self._forms = forms
        self._known: dict[str, str] = {}
        self._lists = Lists(rules, forms, self.rule)
        self._objects = Objects(rules, forms, self.rule)

    def rule(self, schema: Any) -> str:
        """The name of the rule for values that satisfy it. A schema may contain itself."""
        schema = {} if schema is True else schema
        key = json.dumps(schema, sort_keys=True)
        if key not in self._known:
            self._known[key] = self._rules.reserve()
            bodies = [body for form in self._forms.of(schema) for body in self._bodies(form)]
            if not bodies:
                raise CannotConvert(NO_VALUE)
            self._rules.fill(self._known[key], choice(dict.fromkeys(bodies)))
        return self._known[key]

    def _bodies(self, form: Form) -> Iterable[str]:
        if not form:
            return ["value"]
        if "enum" in form:
            return [literal(json.dumps(value, ensure_ascii=False)) for value in form["enum"]]
        return [body for kind in _kinds(form) for body in self._of_kind(kind, form)]

    def _of_kind(self, kind: str, form: Form) -> Sequence[str]:
        match kind:
            case "null":
                return ['"null"'] if None not in form.get("+without", ()) else []
            case "boolean":
                values = [
                    value
                    for value in (True, False)
                    if not any(one is value for one in form.get("+without", ()))
                ]
                return [f'"{json.dumps(value)}"' for value in values]
            case "string":
                return self._text(form)
            case "object":
                return self._objects.bodies(form)
            case "array":
                return self._lists.bodies(form)
        return self._number(form, whole=kind == "integer")

    def _text(self, form: Form) -> list[str]:
        body = "string" if self._loose else text_body(self._rules, form)
        return [] if body is None else [body]

    def _number(self, form: Form, *, whole: bool) -> list[str]:
        if self._loose:
            return ["integer" if whole else "number"]
        body = number_body(self._rules, form, whole=whole)
        return [] if body is None else [body]


def _kinds(form: Form) -> Sequence[str]:
    """An integer is no kind of its own beside numbers."""
    if "type" not in form:
        spoken_of = [kind for kind, words in IMPLIED.items() if words & form.keys()]
        return spoken_of or [kind for kind in KINDS if kind != "integer"]
    given = list(dict.fromkeys(form["type"]))
    return [kind for kind in given if kind != "integer" or "number" not in given]
