"""Schemas within the server's bounds that are short and cost much where they are taken literally."""

from typing import Any


def hard_schemas() -> dict[str, Any]:
    """By what is hard about them."""
    return {
        "two lists of each other": {"$ref": "#/$defs/a", "$defs": {"a": _either(), "b": _either()}},
        "1000 optional properties": _object(
            {f"p{n:03}": {"type": "boolean"} for n in range(1000)}, closed=True
        ),
        "24 pairs of alternatives": {"allOf": [_pair(f"a{n}") for n in range(24)]},
        "60 references, each twice": _doubling(60),
        "allOf of itself, 40 times twice": _doubling_all_of(40),
        "pattern (a?){30}a{30}": {"type": "string", "pattern": "^(a?){30}a{30}$"},
        "pattern .*a.{20}": {"type": "string", "pattern": "^.*a.{20}$"},
        "20 texts of 10000": _object(
            {f"t{n}": {"type": "string", "maxLength": 10_000 - n} for n in range(20)}
        ),
        "lists of 10000, thrice": _list(_list(_list({"type": "integer"}))),
        "5 enums of 980 ideographs": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"enum": _ideographs(part)} for part in range(5)]},
        },
        "an enum of 5000": {
            "type": "array",
            "minItems": 1,
            "items": {"enum": [f"same{n}" for n in range(5000)]},
        },
        "94 levels": _nested(47),
    }


def _either() -> Any:
    """250 bytes of this have two ways for each bracket, so that a literal grammar has 2^n after n of them."""
    return {
        "type": "array",
        "minItems": 1,
        "items": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]},
    }


def _object(properties: dict[str, Any], *, closed: bool = False) -> Any:
    more = {"additionalProperties": False} if closed else {"required": list(properties)}
    return {"type": "object", "properties": properties, **more}


def _pair(name: str) -> Any:
    return {"anyOf": [{"properties": {name: {"const": n}}, "required": [name]} for n in range(2)]}


def _doubling(levels: int) -> Any:
    next_ones = [{"$ref": f"#/$defs/a{n + 1}"} for n in range(levels)]
    definitions = {f"a{n}": _object({"x": one, "y": one}) for n, one in enumerate(next_ones)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{levels}": {"const": 1}}}


def _doubling_all_of(levels: int) -> Any:
    definitions = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**definitions, f"a{levels}": {"type": "integer"}}}


def _list(items: Any) -> Any:
    return {"type": "array", "minItems": 1, "maxItems": 10_000, "items": items}


def _ideographs(part: int) -> list[str]:
    return [chr(0x4E00 + 1000 * part + n) for n in range(980)]


def _nested(levels: int) -> Any:
    """Each level is two of the schema's own."""
    schema: Any = {"type": "integer"}
    for _ in range(levels):
        schema = {"type": "object", "required": ["a"], "properties": {"a": schema}}
    return schema
