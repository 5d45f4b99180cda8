"""A JSON schema as rules of a grammar: answers have its shape, in one line, with properties in the schema's order.

What a grammar can't say, or only at a price (`pattern`, bounds of numbers, `not`, wide choices), is left to the check
of the finished answer. Properties that the schema does not name come only where it speaks of them.

Where a value may be one of several, these are made one: each kind of value begins with its own character, texts fork
where they differ, arrays are as long and objects go on as any of them does. So the text so far can be read in one way
only, and llama.cpp, which goes on with every way, has few to go on with however deep the answer nests.

`xllamacpp.json_schema_to_grammar` does not do this work: it hands the schema as it is to llguidance, with which the
package is built. Of two answers to each of the 381 schemas in `tests/inference/corpus` 72 were valid so, and 690 with
these rules (`make bench ARGS=grammar`). It is fast, and bounded on short schemas that are hard. What fails of it, by
schemas of the corpus (`tests/engines/llamacpp/grammar/test_upstream.py` holds three of them to it):

- zod string_max: the property comes as "string _max". A token's own space counts for nothing, so that it may stand in
  every name and word: zod literal says " on" for "on", zod regex_time "06 :58", pydantic bool `t rue`.
- zod uint32, zod many, pydantic ipv4: before the digit in the property's name llguidance stops with an error in the log,
  and the answer goes on as free text.
- keywords not const, if then, contains, dependentRequired, dependentSchemas, dependencies draft 7,
  unevaluatedProperties, dynamicRef, minProperties, oneOf objects; zod record (`propertyNames`), pydantic set
  (`uniqueItems`), zod regex_lookahead, zod hostname (patterns), zod float32, pydantic base64, zod e164, zod starts and
  every other format that it does not know: llguidance can't read these, and the answer is free text without an error.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.engines.llamacpp.grammar.normalize import NO_VALUE, Schemas
from app.engines.llamacpp.grammar.objects import SEPARATOR, Objects, bound, is_possible, listed
from app.engines.llamacpp.grammar.prefix_tree import TooWide, branches
from app.json_grammar.gbnf import BLANK, CannotConvert, Rules, choice, repeated
from app.json_grammar.language import TooLarge
from app.json_grammar.numbers import number_body
from app.json_grammar.texts import text_body

IMPLIED: Final = {
    "object": frozenset(
        ("properties", "required", "additionalProperties", "patternProperties", "minProperties")
    ),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems", "+contains")),
    "string": frozenset(("minLength", "maxLength", "+patterns", "+formats")),
    "number": frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "+multiples")),
}
"""The kind of value that a schema speaks of by these words."""
PATTERNED: Final = frozenset(("+patterns", "+formats"))
WORDS: Final = {"boolean": ("true", "false"), "null": ("null",)}
KINDS: Final = (*IMPLIED, "integer", *WORDS)


def json_rule(rules: Rules, schema: Any) -> str:
    """The name of the rule for values that satisfy `schema`. Raises CannotConvert. What takes too long is any value."""
    try:
        schemas = Schemas(schema)
        return _Values(rules, schemas).rule([schemas.root])
    except TooLarge:
        return "object" if isinstance(schema, dict) and schema.get("type") == "object" else "value"


class _Values:
    def __init__(self, rules: Rules, schemas: Schemas) -> None:
        self._rules = rules
        self._schemas = schemas
        self._objects = Objects(rules, self.rule, self._texts)
        self._known: dict[frozenset[str], str] = {}

    def rule(self, schemas: Iterable[Any]) -> str:
        """For what any of them allows. One rule for equal sets: a schema may contain itself."""
        plain = self._schemas.plain(schemas)
        known = frozenset(plain)
        if known not in self._known:
            kinds, texts = _sorted(plain.values())
            if "value" in kinds:
                return "value"
            self._known[known] = self._rules.reserve()
            bodies = self._bodies(kinds, texts)
            if not bodies:
                raise CannotConvert(NO_VALUE)
            self._rules.fill(self._known[known], choice(bodies))
        return self._known[known]

    def _texts(self, schemas: Iterable[Any]) -> list[str] | None:
        """The values themselves, where the schemas name them all."""
        plain = self._schemas.plain(schemas).values()
        if not all("const" in schema or "enum" in schema for schema in plain):
            return None
        return [_json(value) for schema in plain for value in _named(schema)]

    def _bodies(self, kinds: dict[str, list[Any]], texts: dict[str, list[str]]) -> list[str]:
        """One for each first character that a value may have, or each set of such."""
        write = {"object": self._objects.body, "array": self._array, "string": self._string}
        bodies = []
        for kind in ("object", "array", "string"):
            if kind in kinds:
                bodies.append(kind if kind in texts else write[kind](kinds[kind]))
            elif kind in texts:
                bodies.append(_one_of(texts[kind], kind))
        if {"number", "integer"} & kinds.keys():
            bodies.append(self._number(kinds, texts))
        elif "number" in texts:
            bodies.append(branches(dict.fromkeys(texts["number"], "")))
        words = [word for kind, words in WORDS.items() if kind in kinds for word in words]
        return bodies + [f'"{word}"' for word in dict.fromkeys((*words, *texts.get("word", ())))]

    def _number(self, kinds: dict[str, list[Any]], texts: dict[str, list[str]]) -> str:
        """Within its bounds where it is of one schema."""
        whole = "number" not in kinds and "number" not in texts
        allowed = [*kinds.get("number", ()), *kinds.get("integer", ())]
        if len(allowed) == 1 and "number" not in texts:
            body = number_body(self._rules, allowed[0], whole=whole)
            if body is not None:
                return body
        return "integer" if whole else "number"

    def _string(self, schemas: Sequence[Any]) -> str:
        """With its patterns where it is of one schema."""
        if len(schemas) == 1 and PATTERNED & schemas[0].keys():
            body = text_body(self._rules, schemas[0])
            if body is not None:
                return self._rules.add(body)
        least = min(bound(schema, "minLength") or 0 for schema in schemas)
        most = _largest(bound(schema, "maxLength") for schema in schemas)
        if not least and most is None:
            return "string"
        return self._rules.add(f'"\\"" {repeated("char", least, most)} "\\""')

    def _array(self, schemas: Sequence[Any]) -> str:
        return self._rules.add(f'"[" {BLANK} {self._items(schemas)} {BLANK} "]"')

    def _items(self, schemas: Sequence[Any]) -> str:
        rows = [_row_of(schema) for schema in schemas]
        if len(rows) == 1 and rows[0][0]:
            return self._row(schemas[0], *rows[0])
        allowed = [item for first, rest in rows for item in (*first, rest) if item is not False]
        least = min(
            max(bound(one, "minItems") or 0, len(first))
            for one, (first, _) in zip(schemas, rows, strict=True)
        )
        most = _largest(bound(one, "maxItems") for one in schemas)
        return listed(self.rule(allowed) if allowed else None, least, most)

    def _row(self, schema: dict[str, Any], first: Sequence[Any], rest: Any) -> str:
        least, most = bound(schema, "minItems") or 0, bound(schema, "maxItems")
        row = f" {SEPARATOR} ".join(self.rule([item]) for item in first)
        if rest is False:
            return row
        left = None if most is None else max(most - len(first), 0)
        more = f"{SEPARATOR} {self.rule([rest])}"
        return f"{row} {repeated(more, max(least - len(first), 0), left)}"


def _sorted(schemas: Iterable[dict[str, Any]]) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
    """Schemas by the kinds of value they allow, and the values that some name, as JSON, by theirs."""
    kinds: dict[str, list[Any]] = defaultdict(list)
    texts: dict[str, list[str]] = defaultdict(list)
    for schema in schemas:
        if "const" in schema or "enum" in schema:
            for value in _named(schema):
                texts[_kind_of(value)].append(_json(value))
        else:
            for kind in _kinds(schema):
                if kind != "object" or is_possible(schema):
                    kinds[kind].append(schema)
    return kinds, texts


def _kinds(schema: dict[str, Any]) -> tuple[str, ...]:
    given = schema.get("type")
    kinds = (given,) if isinstance(given, str) else tuple(map(str, given or ()))
    for kind in kinds:
        if kind not in KINDS:
            raise CannotConvert(f"it has a type {kind[:20]!r}")
    return kinds or tuple(kind for kind, words in IMPLIED.items() if words & schema.keys()) or ("value",)


def _named(schema: dict[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])


def _kind_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "word"
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return "string" if isinstance(value, str) else "number"


def _row_of(schema: dict[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of the first items, which have their own, and of those after them: up to draft 2019-09 a list in
    `items`, and `additionalItems`. An item that may not be is the end.
    """
    items = schema.get("items")
    if isinstance(items, list):
        first, rest = items, schema.get("additionalItems", False)
    else:
        first = schema.get("prefixItems", [])
        rest = schema.get("items", not first)
    end = next((place for place, item in enumerate(first) if item is False), None)
    return (first, rest) if end is None else (first[:end], False)


def _one_of(texts: Iterable[str], kind: str) -> str:
    """These values in JSON, or any of their kind where they are too many."""
    try:
        return branches(dict.fromkeys(texts, ""))
    except TooWide:
        return kind


def _largest(bounds: Iterable[int | None]) -> int | None:
    found = list(bounds)
    return None if None in found else max(one for one in found if one is not None)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
