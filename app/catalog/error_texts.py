"""The sentences of a refusal, each in one place. Their form is that of `@cloudflare/cabidela` 0.2.4.

A path is a tuple of names and indices from the body's root; names that a client chose are cleaned before they
get here. `schema` is one subschema.
"""

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from app.catalog import javascript
from app.errors import ECHO_MAX_CHARS, printable

Path = tuple[str, ...]

PLACE = re.compile(r"'/([^',\s][^',]*)")
"""What `at` gives for a field, and `unexpected` for the first of several."""

BOUNDS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("minimum", operator.lt, ">="),
    ("exclusiveMinimum", operator.le, ">"),
    ("maximum", operator.gt, "<="),
    ("exclusiveMaximum", operator.ge, "<"),
)


def at(path: Path) -> str:
    """`/messages/0/role`, and `/` for the root."""
    return "".join(f"/{name}" for name in path) or "/"


def first_place(text: str) -> Path:
    """The first field that a refusal names, none where it names the root alone."""
    place = PLACE.search(text)
    return tuple(place[1].split("/")) if place is not None else ()


def wrong_type(path: Path, wanted: str, value: Any) -> str:
    found = ",".join(f"'{name}'" for name in javascript.type_names(value))
    return f"Type mismatch of '{at(path)}', '{wanted}' not in {found}"


def missing(path: Path, required: Iterable[str]) -> str:
    """Lists every required name of the object, present or not."""
    return f"required properties at '{at(path)}' are '{','.join(required)}'"


def not_in_enum(path: Path, allowed: Iterable[Any], value: Any) -> str:
    shown = printable(javascript.text(value, ECHO_MAX_CHARS))
    return f"enum {shown} not in {','.join(map(str, allowed))} at '{at(path)}'"


def too_long(path: Path, limit: int) -> str:
    return f"Length of '{at(path)}' must be <= {limit}"


def too_short(path: Path, limit: int) -> str:
    return f"Length of '{at(path)}' must be >= {limit} not met"


def out_of_bounds(path: Path, relation: str, limit: float) -> str:
    """`relation` is one of `>=`, `>`, `<=`, `<`."""
    return f"'{at(path)}' must be {relation} {javascript.number_text(limit)}"


def unexpected(path: Path, names: Iterable[str]) -> str:
    listed = ", ".join(at((*path, name)) for name in names)
    return f"Additional or unevaluated properties '{listed}' at '{at(path)}' not allowed"


def one_of(path: Path, matches: int) -> str:
    return f"oneOf at '{at(path)}' not met, {matches} matches"


def any_of(path: Path) -> str:
    return f"anyOf at '{at(path)}' not met"


def refused(*errors: str) -> str:
    """The whole text of a refusal in the validator's shape, from errors of ours."""
    return f"Error: {one_of((), 0)}: {', '.join(errors)}"


def length_error(path: Path, schema: dict[str, Any], length: int) -> str | None:
    """What a string of this length breaks; who counts decides the unit."""
    if length > schema.get("maxLength", length):
        return too_long(path, schema["maxLength"])
    return too_short(path, schema["minLength"]) if length < schema.get("minLength", 0) else None


def bound_error(path: Path, schema: dict[str, Any], value: float) -> str | None:
    """What a number breaks."""
    for keyword, breaks, relation in BOUNDS:
        if keyword in schema and breaks(value, schema[keyword]):
            return out_of_bounds(path, relation, schema[keyword])
    return None
