"""Bounds on the JSON schemas that clients write: what is larger could hold up the engine for everybody.

Everything here is linear in the schema's size and needs no library: it is looked at before any library meets it.
Texts are in the style of the card's own refusals.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import refusal
from app.errors import BadInput, printable
from app.json_grammar.schemas import REFERENCES, References, parts

MAX_BYTES: Final = 256 * 1024
MAX_LEVELS: Final = 96
"""Of objects and lists in each other, the schema itself included."""

MAX_VALUES: Final = 20_000
"""Of every kind: objects, lists, numbers, texts."""

MAX_ENUM_VALUES: Final = 5000
MAX_PROPERTIES: Final = 1000
"""Of one object."""

MAX_PATTERNS: Final = 500
MAX_PATTERN_CHARS: Final = 4096
"""zod writes 300 for `datetime({offset: true})`, and some 900 for an IPv6 address with its prefix."""

MAX_COUNT: Final = 10_000
"""Of items, properties or characters that a schema may demand or allow by a number, and in a pattern's braces."""

COUNTS: Final = frozenset(
    (
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "minContains",
        "maxContains",
    )
)
_BRACES: Final = re.compile(r"\{(\d*),?(\d*)\}")


def check_schema(path: Path, schema: dict[str, Any]) -> None:
    """Raises `BadInput` that names the place, the rule and the number. `path` is where the schema stands in the body."""
    _check_levels(path, schema)
    size = len(orjson.dumps(schema))
    if size > MAX_BYTES:
        raise _refusal(path, f"must be at most {MAX_BYTES} bytes of JSON, found {size}")
    patterns = values = 0
    for place, value in _walk(path, schema):
        values += 1
        if isinstance(value, dict):
            patterns += sum(1 for _ in _patterns(value))
            _check_keywords(place, value)
    _check_references(path, schema)
    if values > MAX_VALUES:
        raise _refusal(path, f"must have at most {MAX_VALUES} values, found {values}")
    if patterns > MAX_PATTERNS:
        raise _refusal(path, f"must have at most {MAX_PATTERNS} patterns, found {patterns}")


def _check_levels(path: Path, schema: Any) -> None:
    """Level by level: recursion would end in the interpreter's own limit."""
    below = [schema]
    for _ in range(MAX_LEVELS):
        below = [member for value in below for member in _members(value) if isinstance(member, (dict, list))]
    if below:
        raise _refusal(path, f"must nest at most {MAX_LEVELS} levels deep")


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _walk(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """Every value with its place. What looks like a keyword within a `const` is held to the bounds as well."""
    yield path, value
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _walk((*path, name), member)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _walk((*path, str(index)), member)


def _check_keywords(path: Path, schema: dict[str, Any]) -> None:
    """A keyword's value of another type is a property's schema of that name, or no schema: jsonschema says so."""
    for name in COUNTS & schema.keys():
        count = schema[name]
        if isinstance(count, (int, float)) and count > MAX_COUNT:
            raise _refusal((*path, name), f"must be at most {MAX_COUNT}")
    enum, properties = schema.get("enum"), schema.get("properties")
    if isinstance(enum, list) and len(enum) > MAX_ENUM_VALUES:
        raise _refusal((*path, "enum"), f"must have at most {MAX_ENUM_VALUES} values, found {len(enum)}")
    if isinstance(properties, dict) and len(properties) > MAX_PROPERTIES:
        raise _refusal(
            (*path, "properties"), f"must have at most {MAX_PROPERTIES} properties, found {len(properties)}"
        )
    for place, pattern in _patterns(schema):
        _check_pattern((*path, *place), pattern)


def _check_references(path: Path, schema: dict[str, Any]) -> None:
    """An address must be one that a part of the schema has as its `$id`."""
    outside = [
        (place, name, part[name])
        for place, part in parts(schema)
        for name in REFERENCES
        if isinstance(part.get(name), str) and not part[name].startswith("#")
    ]
    references = References(schema) if outside else None
    for place, name, target in outside:
        if references is not None and references.resolved(target, place) is None:
            rule = "must begin with '#', or with an $id of the schema: none is fetched from elsewhere"
            raise _refusal((*path, *place, name), rule)


def _patterns(schema: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    pattern, keys = schema.get("pattern"), schema.get("patternProperties")
    if isinstance(pattern, str):
        yield ("pattern",), pattern
    if isinstance(keys, dict):
        yield from ((("patternProperties",), key) for key in keys)


def _check_pattern(path: Path, pattern: str) -> None:
    if len(pattern) > MAX_PATTERN_CHARS:
        raise _refusal(path, f"must be at most {MAX_PATTERN_CHARS} characters, found {len(pattern)}")
    numbers = (number for braces in _BRACES.findall(pattern) for number in braces if number)
    if any(len(number) > len(str(MAX_COUNT)) or int(number) > MAX_COUNT for number in numbers):
        raise _refusal(path, f"must repeat at most {MAX_COUNT} times")


def _refusal(path: Path, rule: str) -> BadInput:
    return refusal(f"'{printable(error_texts.at(path))}' {rule}")


def nests_deeper_than(value: Any, levels: int) -> bool:
    """Whether objects and lists nest more than `levels` deep; a number or a text nests 0 deep."""
    below = [value]
    for _ in range(levels + 1):
        below = [member for outer in below for member in _members_or_level(outer)]
        if not below:
            return False
    return True


def _members_or_level(value: Any) -> list[Any]:
    """What is inside an object or a list, and something for an empty one too: it is a level."""
    if isinstance(value, dict):
        return [*value.values(), None]
    return [*value, None] if isinstance(value, list) else []
