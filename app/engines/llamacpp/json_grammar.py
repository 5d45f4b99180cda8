"""A JSON schema as rules of a grammar: answers have its shape, in one line, with properties in the schema's order.

What a grammar can't say, or only at a price (`pattern`, bounds of numbers, `not`, `uniqueItems`), is left to the check
of the finished answer. Properties that the schema does not name come only where it speaks of them.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from app.engines.llamacpp.gbnf import BLANK, CannotConvert, Rules, choice, literal, repeated

SEPARATOR: Final = f'"," {BLANK}'
OBJECT_WORDS: Final = frozenset(
    ("properties", "required", "additionalProperties", "patternProperties", "minProperties")
)
ARRAY_WORDS: Final = frozenset(("items", "prefixItems", "minItems", "maxItems", "contains"))
STRING_WORDS: Final = frozenset(("minLength", "maxLength", "pattern"))
NUMBER_WORDS: Final = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
KINDS: Final = ("object", "array", "string", "number", "integer", "boolean", "null", "value")
IMPLIED: Final = {
    "object": OBJECT_WORDS,
    "array": ARRAY_WORDS,
    "string": STRING_WORDS,
    "number": NUMBER_WORDS,
}
MAX_MERGED: Final = 64


def json_rule(rules: Rules, schema: Any) -> str:
    """The name of the rule for values that satisfy `schema`. Raises CannotConvert."""
    return _Schema(rules, schema).rule(schema)


class _Schema:
    """`root` is what `#` refers to."""

    def __init__(self, rules: Rules, root: Any) -> None:
        self._rules = rules
        self._root = root
        self._references: dict[str, str] = {}

    def rule(self, schema: Any) -> str:
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise CannotConvert("it allows no value in some place")
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]))
        if "allOf" in schema:
            return self.rule(self._merged(schema))
        return self._rules.add(choice(self._bodies(schema)))

    def _bodies(self, schema: dict[str, Any]) -> Iterator[str]:
        """What a value may be."""
        if "const" in schema:
            return iter([_value(schema["const"])])
        if "enum" in schema:
            return map(_value, schema["enum"])
        word = next((word for word in ("anyOf", "oneOf") if word in schema), None)
        if word is None:
            return (self._kind(kind, schema) for kind in _kinds(schema))
        rest = {key: value for key, value in schema.items() if key != word}
        return (self.rule(_with(rest, one)) for one in schema[word])

    def _kind(self, kind: str, schema: dict[str, Any]) -> str:
        if kind == "object" and not OBJECT_WORDS.isdisjoint(schema):
            return self._object(schema)
        if kind == "array" and not ARRAY_WORDS.isdisjoint(schema):
            return self._array(schema)
        if kind == "string" and ("minLength" in schema or "maxLength" in schema):
            characters = repeated("char", _bound(schema, "minLength") or 0, _bound(schema, "maxLength"))
            return self._rules.add(f'"\\"" {characters} "\\""')
        if kind not in KINDS:
            raise CannotConvert(f"it has a type {kind[:20]!r}")
        return kind

    def _object(self, schema: dict[str, Any]) -> str:
        properties: dict[str, Any] = schema.get("properties") or {}
        required = [*schema.get("required", ())]
        unnamed = {name: True for name in required if name not in properties}
        members = {
            name: self._rules.add(f'{_value(name)} ":" {BLANK} {self.rule(value)}')
            for name, value in {**properties, **unnamed}.items()
        }
        other = self._other_member(schema, alone=not members)
        if not members:
            listed = self._listed(
                other, _bound(schema, "minProperties") or 0, _bound(schema, "maxProperties")
            )
            return self._rules.add(f'"{{" {BLANK} {listed} {BLANK} "}}"')
        # From the last member to the first: what may follow when something came before, and when nothing did.
        after = self._rules.add(f"({SEPARATOR} {other})*" if other else '""')
        first = self._rules.add(f"({other} {after})?" if other else '""')
        for name, member in reversed(members.items()):
            skipping = () if name in required else (after,), () if name in required else (first,)
            after, first = (
                self._rules.add(choice((f"{SEPARATOR} {member} {after}", *skipping[0]))),
                self._rules.add(choice((f"{member} {after}", *skipping[1]))),
            )
        return self._rules.add(f'"{{" {BLANK} {first} {BLANK} "}}"')

    def _other_member(self, schema: dict[str, Any], *, alone: bool) -> str | None:
        """The rule for a property that the schema does not name, None where there is none."""
        additional = schema.get("additionalProperties", alone and "patternProperties" not in schema)
        values = [*schema.get("patternProperties", {}).values()]
        values += [additional] if additional is not False else []
        if not values:
            return None
        return self._rules.add(f'string ":" {BLANK} ({choice(map(self.rule, values))})')

    def _array(self, schema: dict[str, Any]) -> str:
        first = [self.rule(item) for item in schema.get("prefixItems", ())]
        items = schema.get("items", not first)
        least, most = _bound(schema, "minItems") or 0, _bound(schema, "maxItems")
        item = None if items is False else self.rule(items)
        if not first:
            listed = self._listed(item, least, most)
        else:
            more = repeated(f"{SEPARATOR} {item}", max(least - len(first), 0), _less(most, len(first)))
            listed = f" {SEPARATOR} ".join(first) + (f" {more}" if item else "")
        return self._rules.add(f'"[" {BLANK} {listed} {BLANK} "]"')

    def _listed(self, item: str | None, least: int, most: int | None) -> str:
        """So many of them, with separators."""
        if item is None or most == 0:
            return ""
        more = repeated(f"{SEPARATOR} {item}", max(least - 1, 0), _less(most, 1))
        return f"{item} {more}" if least else f"({item} {more})?"

    def _reference(self, reference: str) -> str:
        """One rule for each place that is referred to: a schema may contain itself."""
        if reference not in self._references:
            name = self._references[reference] = self._rules.reserve()
            self._rules.fill(name, self.rule(self._resolved(reference)))
        return self._references[reference]

    def _resolved(self, reference: str, hops: int = 0) -> Any:
        if not reference.startswith("#") or hops > MAX_MERGED:
            raise CannotConvert("it refers to what is not in it, or to itself without end")
        place = self._root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.keys() == {"$ref"}:
            return self._resolved(str(place["$ref"]), hops + 1)
        if place is None:
            raise CannotConvert("it refers to what is not in it, or to itself without end")
        return place

    def _merged(self, schema: dict[str, Any]) -> Any:
        """`allOf` as one schema, as far as properties and plain keywords go."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            hops = 0
            while isinstance(part, dict) and "$ref" in part:
                part, hops = self._resolved(str(part["$ref"])), hops + 1  # noqa: PLW2901
                if hops > MAX_MERGED:
                    raise CannotConvert("it refers to itself without end")
            if part is False:
                return False
            merged = _with(merged, part if isinstance(part, dict) else {})
        return merged


def _with(one: dict[str, Any], other: Any) -> Any:
    """Both at once: properties are joined, requirements added, of everything else the second counts."""
    if not isinstance(other, dict):
        return one if other is True else other
    if "$ref" in other and not one.keys() - {"$defs", "definitions", "title", "description", "type"}:
        return other
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = [*one["required"], *other["required"]]
    return joined


def _kinds(schema: dict[str, Any]) -> tuple[str, ...]:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return (kinds,)
    if isinstance(kinds, list) and kinds:
        return tuple(map(str, kinds))
    return tuple(kind for kind, words in IMPLIED.items() if not words.isdisjoint(schema)) or ("value",)


def _bound(schema: dict[str, Any], word: str) -> int | None:
    value = schema.get(word)
    return int(value) if isinstance(value, int | float) and value >= 0 else None


def _less(most: int | None, taken: int) -> int | None:
    return None if most is None else max(most - taken, 0)


def _value(value: Any) -> str:
    return literal(json.dumps(value, ensure_ascii=False))
