"""Our own words for a body that the JSON schema refuses and Workers AI's validator lets through.

Same style, draft-07 semantics. A `Node` holds one subschema compiled, so that finding the first thing that is
wrong asks the compiled validator at each level and walks into one member only: the time is that of a few
validations of the body, whatever its size, and the recursion is as deep as the schema. Where nothing is wrong
with the first `MAX_MEMBERS_LOOKED_AT` members, the text names the list or object that holds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jsonschema_rs

from app.catalog import error_texts, javascript
from app.catalog.error_texts import Path
from app.errors import printable

MAX_MEMBERS_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Node:
    """One subschema and those below it. `one_of` alternatives carry the type of the schema around them."""

    schema: dict[str, Any]
    validator: jsonschema_rs.Draft7Validator
    properties: dict[str, "Node"]
    items: "Node | None"
    additional: "Node | None"
    one_of: tuple["Node", ...]

    @classmethod
    def compiled(cls, schema: Any) -> "Node":
        """Raises `jsonschema_rs.ValidationError` for what is no schema, `ReferencingError` for a `$ref`."""
        rules: dict[str, Any] = schema if isinstance(schema, dict) else {}
        items, additional = rules.get("items"), rules.get("additionalProperties")
        outer = {"type": rules["type"]} if "type" in rules else {}
        return cls(
            schema=rules,
            validator=jsonschema_rs.Draft7Validator(schema, offline=True),
            properties={name: cls.compiled(sub) for name, sub in rules.get("properties", {}).items()},
            items=cls.compiled(items) if isinstance(items, (dict, bool)) else None,
            additional=cls.compiled(additional) if isinstance(additional, (dict, bool)) else None,
            one_of=tuple(cls.compiled(outer | option) for option in rules.get("oneOf", ())),
        )

    def accepts(self, value: Any) -> bool:
        return self.validator.is_valid(value)


def first_errors(node: Node, value: Any, path: Path = ()) -> tuple[str, ...]:
    """What is wrong with a `value` that `node` refuses: one text, or one per alternative that is close."""
    error = _type_error(node.schema, value, path) or _value_error(node.schema, value, path)
    if error is not None:
        return (error,)
    for below, member, name in islice(_members(node, value), MAX_MEMBERS_LOOKED_AT):
        if not below.accepts(member):
            return first_errors(below, member, (*path, name))
    error = _missing_error(node.schema, value, path)
    if error is not None:
        return (error,)
    return _alternative_errors(node, value, path) or (f"'{error_texts.at(path)}' does not match the schema",)


def _members(node: Node, value: Any) -> Iterator[tuple[Node, Any, str]]:
    if isinstance(value, dict):
        yield from ((below, value[name], name) for name, below in node.properties.items() if name in value)
        if node.additional is not None:
            names = (name for name in value if name not in node.properties)
            yield from ((node.additional, value[name], printable(name)) for name in names)
    elif isinstance(value, list) and node.items is not None:
        yield from ((node.items, item, str(index)) for index, item in enumerate(value))


def _alternative_errors(node: Node, value: Any, path: Path) -> tuple[str, ...]:
    refusing = [option for option in node.one_of if not option.accepts(value)]
    matches = len(node.one_of) - len(refusing)
    if matches > 1:
        return (error_texts.one_of(path, matches),)
    if matches == 1 or not refusing:
        return ()
    closest = max(_closeness(option, value) for option in refusing)
    near = [option for option in refusing if _closeness(option, value) == closest]
    return tuple(dict.fromkeys(error for option in near for error in first_errors(option, value, path)))


def _closeness(option: Node, value: Any) -> tuple[bool, int]:
    """An alternative is the closer, the more of its own properties are there; one of another type is far."""
    named = sum(name in value for name in option.properties) if isinstance(value, dict) else 0
    return _type_error(option.schema, value, ()) is None, named


def _type_error(schema: dict[str, Any], value: Any, path: Path) -> str | None:
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if not kinds or any(_is_a(kind, value) for kind in kinds):
        return None
    return error_texts.wrong_type(path, ",".join(kinds), value)


def _is_a(kind: str, value: Any) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and (kind == "number" or isinstance(value, int) or value.is_integer())


def _value_error(schema: dict[str, Any], value: Any, path: Path) -> str | None:
    if "enum" in schema and not javascript.is_among(value, schema["enum"]):
        return error_texts.not_in_enum(path, schema["enum"], value)
    if isinstance(value, str):
        return error_texts.length_error(path, schema, len(value))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return error_texts.bound_error(path, schema, value)
    return None


def _missing_error(schema: dict[str, Any], value: Any, path: Path) -> str | None:
    required = schema.get("required", [])
    if isinstance(value, dict) and not all(name in value for name in required):
        return error_texts.missing(path, required)
    return None
