"""Plain schemas, and two of them as one: what satisfies both.

A plain schema has `type` as a list, `enum` for `const`, `prefixItems` and `items` for every draft's lists, numbers for
`exclusiveMinimum`, and lists of what can't be joined: `+patterns` and `+multiples` (each with whether it must hold),
`+formats`, `+contains`, and `+without`, values that it is not.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

from app.json_grammar.language import Terms, TooLarge
from app.json_grammar.patterns import NoLanguage, pattern_term

Form = dict[str, Any]
KINDS: Final = ("null", "boolean", "number", "integer", "string", "array", "object")
_NARROWER: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}
_LISTS: Final = ("+patterns", "+multiples", "+formats", "+contains", "+without", "required")
_SCHEMAS: Final = ("propertyNames",)
_KEPT: Final = (
    *_NARROWER,
    *_LISTS,
    *_SCHEMAS,
    "properties",
    "patternProperties",
    "additionalProperties",
    "uniqueItems",
)


def own(schema: dict[str, Any]) -> Form | None:
    """What a schema says without the others in it, None where nothing satisfies it."""
    form: Form = {word: schema[word] for word in _KEPT if word in schema}
    if isinstance(schema.get("type"), str | list):
        form["type"] = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    if "const" in schema:
        form["enum"] = [schema["const"]]
    elif "enum" in schema:
        form["enum"] = list(schema["enum"])
    for word, single in (("+patterns", "pattern"), ("+multiples", "multipleOf")):
        if single in schema:
            form[word] = [*form.get(word, ()), [schema[single], True]]
    if isinstance(schema.get("format"), str):
        form["+formats"] = [schema["format"]]
    if "contains" in schema:
        form["+contains"] = [[schema["contains"], schema.get("minContains", 1), schema.get("maxContains")]]
    _list(form, schema)
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(form.get(exclusive), bool) and form.pop(exclusive) and bound in form:  # as in draft 4
            form[exclusive] = form.pop(bound)
    return possible(form)


def _list(form: Form, schema: dict[str, Any]) -> None:
    items = schema.get("items")
    if isinstance(items, list):
        form["prefixItems"] = items
        if "additionalItems" in schema:
            form["items"] = schema["additionalItems"]
        return
    for word in ("prefixItems", "items"):
        if word in schema:
            form[word] = schema[word]


def merged(one: Form, other: Form) -> Form | None:
    """None where nothing satisfies both."""
    if not one or not other:
        return one or other
    form: Form = {**one, **other}
    for word, narrower in _NARROWER.items():
        if word in one and word in other:
            form[word] = narrower(one[word], other[word])
    for word in _LISTS:
        if word in one and word in other:
            form[word] = _union(one[word], other[word])
    for word in _SCHEMAS:
        if word in one and word in other:
            form[word] = both(one[word], other[word])
    if "type" in one and "type" in other:
        form["type"] = _common_kinds(one["type"], other["type"])
    if "enum" in one and "enum" in other:
        there = {_key(value) for value in other["enum"]}
        form["enum"] = [value for value in one["enum"] if _key(value) in there]
    if "uniqueItems" in one:
        form["uniqueItems"] = one["uniqueItems"] or other.get("uniqueItems", False)
    _merge_items(form, one, other)
    _merge_properties(form, one, other)
    return possible(form)


def _merge_items(form: Form, one: Form, other: Form) -> None:
    first, second = one.get("prefixItems", []), other.get("prefixItems", [])
    if first or second:
        form["prefixItems"] = [
            both(*(side[place] if place < len(side) else rest for side, rest in _sides(one, other)))
            for place in range(max(len(first), len(second)))
        ]
    if "items" in one and "items" in other:
        form["items"] = both(one["items"], other["items"])


def _sides(*forms: Form) -> Iterable[tuple[list[Any], Any]]:
    return [(form.get("prefixItems", []), form.get("items", True)) for form in forms]


def _merge_properties(form: Form, one: Form, other: Form) -> None:
    """A property that only one of them names is one of the other's others."""
    names = dict.fromkeys([*one.get("properties", ()), *other.get("properties", ())])
    if names:
        form["properties"] = {name: both(property_of(one, name), property_of(other, name)) for name in names}
    patterns = dict.fromkeys([*one.get("patternProperties", ()), *other.get("patternProperties", ())])
    if patterns:
        form["patternProperties"] = {
            pattern: both(
                *(side.get("patternProperties", {}).get(pattern, _others(side)) for side in (one, other))
            )
            for pattern in patterns
        }
    if "additionalProperties" in one and "additionalProperties" in other:
        form["additionalProperties"] = both(one["additionalProperties"], other["additionalProperties"])


def property_of(form: Form, name: str) -> Any:
    """The schema of a property, whether it is named or not."""
    named = [form["properties"][name]] if name in form.get("properties", ()) else []
    patterns = form.get("patternProperties", {})
    found = [*named, *(schema for pattern, schema in patterns.items() if is_found(pattern, name))]
    if not found:
        return _others(form)
    schema = found[0]
    for more in found[1:]:
        schema = both(schema, more)
    return schema


def _others(form: Form) -> Any:
    return form.get("additionalProperties", True)


def is_found(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text; a pattern that is not regular never is, to be on the safe side."""
    terms = Terms()
    try:
        term = pattern_term(terms, pattern)
    except (NoLanguage, TooLarge, ValueError):
        return False
    before: int | None = None
    for code in map(ord, text):
        term, before = term.after(before, code, terms), code
    return term.ends((before, None))


def both(one: Any, other: Any) -> Any:
    """A schema for what satisfies both."""
    if one is False or other is False:
        return False
    parts: dict[str, Any] = {}
    for schema in (one, other):
        alone = isinstance(schema, dict) and schema.keys() == {"allOf"}
        for part in schema["allOf"] if alone else [schema]:
            if part is not True and part != {}:
                parts.setdefault(_key(part), part)
    found = list(parts.values())
    if len(found) > 1 and _apart(found):
        return False
    return found[0] if len(found) == 1 else {"allOf": found} if found else True


def _apart(schemas: list[Any]) -> bool:
    """Whether two of them name different values, or different kinds."""
    named = [{_key(value) for value in one.get("enum", [one.get("const")])} for one in schemas if _names(one)]
    kinds = [
        [one["type"]] if isinstance(one["type"], str) else one["type"] for one in schemas if "type" in one
    ]
    return bool(named and not set.intersection(*named)) or any(
        not _common_kinds(kinds[0], more) for more in kinds[1:]
    )


def _names(schema: Any) -> bool:
    return "enum" in schema or "const" in schema


def possible(form: Form) -> Form | None:
    """Without the kinds and the values that can't be; None where none is left."""
    if "enum" in form:
        values = [value for value in form["enum"] if is_allowed(form, value)]
        return {**form, "enum": values} if values else None
    kinds = form.get("type", KINDS)
    left = [kind for kind in kinds if _is_possible(form, kind)]
    if not left:
        return None
    return form if len(left) == len(kinds) else {**form, "type": left}


def _is_possible(form: Form, kind: str) -> bool:
    match kind:
        case "string":
            return bool(form.get("minLength", 0) <= form.get("maxLength", float("inf")))
        case "array":
            return bool(form.get("minItems", 0) <= form.get("maxItems", float("inf")))
        case "object":
            named = form.get("properties", {})
            return not any(named.get(name) is False for name in form.get("required", ()))
    return True


def is_allowed(form: Form, value: Any) -> bool:
    """Whether a value that a schema names satisfies the rest of it, as far as kinds, texts and numbers go."""
    if "type" in form and not set(kinds_of(value)) & set(form["type"]):
        return False
    if any(_key(value) == _key(other) for other in form.get("+without", ())):
        return False
    if isinstance(value, str):
        wanted = form.get("+patterns", ())
        return bool(form.get("minLength", 0) <= len(value) <= form.get("maxLength", len(value))) and all(
            is_found(pattern, value) == holds for pattern, holds in wanted
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _is_within(form, value)
    return True


def _is_within(form: Form, value: float) -> bool:
    return (
        form.get("minimum", value) <= value <= form.get("maximum", value)
        and not ("exclusiveMinimum" in form and value <= form["exclusiveMinimum"])
        and not ("exclusiveMaximum" in form and value >= form["exclusiveMaximum"])
    )


def kinds_of(value: Any) -> tuple[str, ...]:
    match value:
        case None:
            return ("null",)
        case bool():
            return ("boolean",)
        case int() | float():
            return ("number", "integer") if value == int(value) else ("number",)
        case str():
            return ("string",)
    return ("object",) if isinstance(value, dict) else ("array",)


def without_kind(kinds: Any) -> list[Any]:
    """Schemas for all other kinds of value. A number that is not an integer is one of them."""
    denied = {kinds} if isinstance(kinds, str) else set(kinds)
    left = [kind for kind in KINDS if kind not in denied and kind not in ("number", "integer")]
    found: list[Any] = [{"type": left}] if left else []
    if "number" in denied:
        return found
    return [
        *found,
        {"type": "number", "+multiples": [[1, False]]} if "integer" in denied else {"type": "number"},
    ]


def _common_kinds(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """An integer is a number too."""
    mine, theirs = set(some), set(others)
    found: list[str] = [kind for kind in KINDS if kind in mine and kind in theirs]
    numbers = {"number", "integer"}
    if not numbers & set(found) and numbers & mine and numbers & theirs:
        found.append("integer")
    return found


def _union(some: list[Any], others: list[Any]) -> list[Any]:
    return list({_key(one): one for one in (*some, *others)}.values())


def _key(value: Any) -> str:
    """Equal for values that are equal in JSON."""
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return json.dumps(value, sort_keys=True)
