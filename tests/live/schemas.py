"""Schemas made at random whose answers end: texts and lists are short, every kind of value occurs."""

import random
from typing import Any

NAMES = ("name", "city", "größe", "a b", "$ref", "enum", "x", 'quo"te')
FORMATS = ("date", "date-time", "ipv4", "uuid", "email")
DEEPEST = 3
PATTERNS = ("^[a-c]{1,3}$", "^(yes|no)$", "^[0-9]{2}-[0-9]{2}$", "^v[0-9]{1,2}$")


def schema(seed: int) -> dict[str, Any]:
    """The same for the same number. An object mostly, at times a list."""
    source = random.Random(seed)
    made = _object(source, 0) if source.random() < 0.8 else _list(source, 0)
    return {**made, "$defs": {"shared": _object(source, DEEPEST)}}


def _value(source: random.Random, depth: int) -> dict[str, Any]:
    kinds = [_text, _number, _integer, _choice, _boolean, _pattern, _format, _const]
    if depth < DEEPEST:
        kinds += [_object, _list, _union, _reference, _tuple, _wrapped]
    return source.choice(kinds)(source, depth)


def _object(source: random.Random, depth: int) -> dict[str, Any]:
    names = source.sample(NAMES, source.randint(1, 4))
    properties = {name: _value(source, depth + 1) for name in names}
    required = [name for name in names if source.random() < 0.7]
    made: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        made["required"] = required
    if source.random() < 0.5:
        made["additionalProperties"] = False
    return made


def _list(source: random.Random, depth: int) -> dict[str, Any]:
    made = {"type": "array", "items": _value(source, depth + 1), "maxItems": source.randint(1, 3)}
    return made | ({"minItems": 1} if source.random() < 0.5 else {})


def _tuple(source: random.Random, depth: int) -> dict[str, Any]:
    parts = [_value(source, depth + 1) for _ in range(source.randint(1, 3))]
    return {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}


def _union(source: random.Random, depth: int) -> dict[str, Any]:
    return {source.choice(("anyOf", "oneOf")): [_value(source, depth + 1) for _ in range(2)]}


def _reference(source: random.Random, depth: int) -> dict[str, Any]:
    return {"$ref": "#/$defs/shared"}


def _wrapped(source: random.Random, depth: int) -> dict[str, Any]:
    return {"allOf": [_value(source, depth + 1)], "title": "wrapped"}


def _text(source: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": source.choice((4, 12))}


def _number(source: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": source.choice((1, 100))}


def _integer(source: random.Random, depth: int) -> dict[str, Any]:
    low = source.randint(-50, 50)
    made = {"type": "integer", "minimum": low, "maximum": low + source.randint(0, 500)}
    return made | ({"multipleOf": 2} if source.random() < 0.1 else {})


def _choice(source: random.Random, depth: int) -> dict[str, Any]:
    values: list[Any] = ["red", "green", 1, 2.5, None, True, {"a": [1]}, "ü"]
    return {"enum": source.sample(values, source.randint(1, 4))}


def _boolean(source: random.Random, depth: int) -> dict[str, Any]:
    return {"type": source.choice(("boolean", "null", ["boolean", "null"]))}


def _pattern(source: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "string", "pattern": source.choice(PATTERNS)}


def _format(source: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "string", "format": source.choice(FORMATS)}


def _const(source: random.Random, depth: int) -> dict[str, Any]:
    return {"const": source.choice(("x", 5, None, [1, 2]))}
