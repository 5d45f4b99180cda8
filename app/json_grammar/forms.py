"""What a JSON schema allows, as alternatives without references and without `allOf`, `anyOf`, `oneOf`, `not`, `if` and
`dependent…`: each alternative is one plain schema, and a value satisfies the schema when it satisfies one of them.

Where an alternative can't be said exactly it is left out or narrowed where others remain, and widened otherwise: the
check of the finished answer has the last word.
"""

import json
import time
from collections.abc import Iterable
from typing import Any, Final

from app.json_grammar.language import TooLarge
from app.json_grammar.merging import Form, merged, own, without_kind
from app.json_grammar.schemas import DATA, REFERENCES, References, changed, parts

MAX_S: Final = 2.5
"""Of computing, for one schema."""

MAX_FORMS: Final = 256
MAX_COMPARED: Final = 48
"""Alternatives of a `oneOf` that are held against each other."""

NOTES: Final = frozenset(
    (
        *("title", "description", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"),
        *("$comment", "$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"),
        *("contentEncoding", "contentMediaType", "contentSchema", "discriminator", "xml", "externalDocs"),
    )
)
"""What says nothing about values."""

OLD_DRAFTS: Final = ("draft-03", "draft-04", "draft-06", "draft-07")
"""Here what stands beside a `$ref` counts for nothing."""


_TELLING: Final = frozenset(("const", "enum", "pattern"))
"""What tells objects from each other. Others than these are told by the properties that they have."""


class Forms:
    """Of the parts of one root schema."""

    def __init__(self, root: Any, seconds: float = MAX_S) -> None:
        self._until = time.process_time() + seconds
        dialect = root.get("$schema") if isinstance(root, dict) else None
        self._old = isinstance(dialect, str) and any(draft in dialect for draft in OLD_DRAFTS)
        self.root = _localized(root)
        self._known: dict[str, list[Form]] = {}
        self._open: set[str] = set()
        self._looped = False

    def of(self, schema: Any) -> list[Form]:
        """The alternatives, none where nothing satisfies it; `{}` is anything. Raises TooLarge."""
        if not isinstance(schema, dict) or not schema:
            return [] if schema is False else [{}]
        key = json.dumps(schema, sort_keys=True)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            self._looped = True
            return []
        around, self._looped = self._looped, False
        self._open.add(key)
        found = self._expanded(schema)
        self._open.discard(key)
        if not self._looped:
            self._known[key] = found
        self._looped |= around
        return found

    def _crossed(self, some: list[Form], others: list[Form]) -> list[Form]:
        """What satisfies one of these and one of those."""
        if time.process_time() > self._until:
            raise TooLarge
        return _distinct(one for a in some for b in others if (one := merged(a, b)) is not None)

    def _expanded(self, schema: dict[str, Any]) -> list[Form]:
        if "$ref" in schema:
            target = self.of(self._target(schema["$ref"]))
            rest = {
                name: value for name, value in schema.items() if name not in ("$ref", "$defs", "definitions")
            }
            return target if self._old or not rest else self._crossed(target, self.of(rest))
        mine = own(schema)
        found = [] if mine is None else [mine]
        for alternatives in self._applied(schema):
            found = self._crossed(found, alternatives)
        return [_closed(form, schema) for form in found]

    def _applied(self, schema: dict[str, Any]) -> Iterable[list[Form]]:
        """Of each keyword that has schemas for the same value."""
        for part in _listed(schema, "allOf"):
            yield self.of(part)
        if isinstance(schema.get("anyOf"), list):
            yield self._any(schema["anyOf"])
        if isinstance(schema.get("oneOf"), list):
            yield self._one(schema["oneOf"])
        if "if" in schema:
            yield self._conditional(schema["if"], schema.get("then", True), schema.get("else", True))
        yield from self._dependent(schema)
        if "not" in schema:
            denied = self.denied(schema["not"])
            if denied is not None:
                yield self._any(denied)

    def _any(self, schemas: Iterable[Any]) -> list[Form]:
        return _distinct(form for one in schemas for form in self.of(one))

    def _one(self, schemas: list[Any]) -> list[Form]:
        """Each but where it is another one too, if that can be said."""
        alternatives = [self.of(one) for one in schemas]
        if len(schemas) > MAX_COMPARED:
            return _distinct(form for forms in alternatives for form in forms)
        found: list[Form] = []
        for number, forms in enumerate(alternatives):
            rest = forms
            for other, others in enumerate(alternatives):
                denied = (
                    self.denied(schemas[other]) if other != number and self._crossed(rest, others) else None
                )
                if denied is not None:
                    rest = self._crossed(rest, self._any(denied))
            found += rest
        return _distinct(found)

    def _conditional(self, condition: Any, then: Any, otherwise: Any) -> list[Form]:
        met = self._crossed(self.of(condition), self.of(then))
        denied = self.denied(condition)
        unmet = self.of(otherwise) if denied is None else self._crossed(self._any(denied), self.of(otherwise))
        return _distinct([*met, *unmet])

    def _dependent(self, schema: dict[str, Any]) -> Iterable[list[Form]]:
        for word in ("dependentRequired", "dependentSchemas", "dependencies"):
            needs = schema.get(word)
            for name, need in needs.items() if isinstance(needs, dict) else ():
                with_it = {"required": [name, *need]} if isinstance(need, list) else need
                present = self._crossed(self.of({"required": [name]}), self.of(with_it))
                yield _distinct([*present, *self.of({"properties": {name: False}})])

    def denied(self, schema: Any) -> list[Any] | None:
        """Schemas of which a value satisfies one only if it does not satisfy this; None where none is known."""
        if isinstance(schema, bool):
            return [not schema]
        if not isinstance(schema, dict):
            return None
        if "$ref" in schema:
            key = json.dumps(schema, sort_keys=True)
            if key in self._open:
                return None
            self._open.add(key)
            found = self.denied(self._target(schema["$ref"]))
            self._open.discard(key)
            return found
        found = [one for word, value in schema.items() for one in self._denied_word(word, value, schema)]
        return found or ([False] if not schema.keys() - {"$defs", "definitions"} else None)

    def _denied_word(self, word: str, value: Any, schema: dict[str, Any]) -> list[Any]:
        match word:
            case "not":
                return [value]
            case "allOf" if isinstance(value, list):
                return [one for part in value for one in self.denied(part) or ()]
            case "anyOf" if isinstance(value, list):
                each = [self.denied(part) for part in value]
                return [] if None in each else [{"allOf": [{"anyOf": one} for one in each]}]
            case "properties" if isinstance(value, dict):
                return [
                    {"type": "object", "required": [name], "properties": {name: {"not": part}}}
                    for name, part in value.items()
                    if "required" not in schema or (isinstance(part, dict) and _TELLING & part.keys())
                ]
        return _denied(word, value, schema)

    def _target(self, reference: Any) -> Any:
        """References were made paths; one that leads nowhere allows nothing."""
        place = self.root
        for name in json.loads(reference):
            place = place[int(name)] if isinstance(place, list) else place[name]
        return place


def _denied(word: str, value: Any, schema: dict[str, Any]) -> list[Any]:  # noqa: PLR0911 - a case each
    """What breaks a keyword that has no schemas."""
    opposite = {
        "minimum": ("number", "exclusiveMaximum", 0),
        "maximum": ("number", "exclusiveMinimum", 0),
        "exclusiveMinimum": ("number", "maximum", 0),
        "exclusiveMaximum": ("number", "minimum", 0),
        "minLength": ("string", "maxLength", -1),
        "maxLength": ("string", "minLength", 1),
        "minItems": ("array", "maxItems", -1),
        "maxItems": ("array", "minItems", 1),
        "minProperties": ("object", "maxProperties", -1),
        "maxProperties": ("object", "minProperties", 1),
    }
    match word:
        case "type":
            return without_kind(value)
        case "const":
            return [{"+without": [value]}]
        case "enum":
            return [{"+without": list(value)}]
        case "required":
            return [{"type": "object", "properties": {name: False}} for name in value]
        case "pattern":
            return [{"type": "string", "+patterns": [[value, False]]}]
        case "multipleOf":
            return [{"type": "number", "+multiples": [[value, False]]}]
        case "items":
            return [{"type": "array", "contains": {"not": value}}] if not isinstance(value, list) else []
        case "contains":
            return [{"type": "array", "items": {"not": value}}] if "minContains" not in schema else []
    if word in opposite and not isinstance(value, bool):
        kind, other, step = opposite[word]
        return [{"type": kind, other: value + step}] if value + step >= 0 or kind == "number" else []
    return []


def _localized(root: Any) -> Any:
    """A copy whose references are paths from the root, without what says nothing about values."""
    references = References(root)
    targets: dict[int, str | None] = {}
    for place, part in parts(root):
        for word in REFERENCES:
            if isinstance(part.get(word), str):
                found = references.resolved(part[word], place)
                targets[id(part)] = None if found is None else json.dumps(found[0])
                break
    return _rewritten(root, targets)


def _rewritten(root: Any, targets: dict[int, str | None]) -> Any:
    marked = _marked(root, targets)

    def plain(schema: dict[str, Any]) -> dict[str, Any]:
        target = schema.pop("+target", "")
        left = {name: value for name, value in schema.items() if not _is_note(name, value)}
        if target is None:
            return {"not": {}}
        return {"$ref": target, **left} if target else left

    return changed(marked, plain)


def _is_note(name: str, value: Any) -> bool:
    """Nor is an object one: under a keyword that nobody knows it may be a schema of that name."""
    return (name in NOTES and not isinstance(value, dict)) or name in REFERENCES or name.startswith("+")


def _marked(value: Any, targets: dict[int, str | None]) -> Any:
    """A copy with the targets of references beside them."""
    if isinstance(value, list):
        return [_marked(member, targets) for member in value]
    if not isinstance(value, dict):
        return value
    copy = {name: member if name in DATA else _marked(member, targets) for name, member in value.items()}
    if id(value) in targets:
        copy["+target"] = targets[id(value)]
    return copy


def _closed(form: Form, schema: dict[str, Any]) -> Form:
    """What is not evaluated by the whole of `schema` is what the form does not name."""
    for word, alike in (("unevaluatedProperties", "additionalProperties"), ("unevaluatedItems", "items")):
        if word in schema and alike not in form:
            form = {**form, alike: schema[word]}
    return form


def _distinct(forms: Iterable[Form]) -> list[Form]:
    """The first MAX_FORMS."""
    found: dict[str, Form] = {}
    for form in forms:
        found.setdefault(json.dumps(form, sort_keys=True), form)
        if len(found) >= MAX_FORMS:
            break
    return list(found.values())


def _listed(schema: dict[str, Any], word: str) -> list[Any]:
    value = schema.get(word)
    return value if isinstance(value, list) else []
