"""Values of a query string, typed, and headers as they came.

Functions of a query raise `BadInput` with the field and the rule. Those of headers take a scan of the list, not a mapping
of it: every request is asked.
"""

from collections.abc import Mapping, Sequence
from typing import overload

from starlette.types import Scope

from app.catalog import error_texts
from app.catalog.refusals import plain_refusal

MAX_DIGITS = 9
FLAGS = ("true", "false")


@overload
def whole(query: Mapping[str, str], name: str, default: int, low: int) -> int: ...
@overload
def whole(query: Mapping[str, str], name: str, default: None, low: int) -> int | None: ...
def whole(query: Mapping[str, str], name: str, default: int | None, low: int) -> int | None:
    """A whole number from `low`; SDKs send it as `10` or `10.0`."""
    if name not in query:
        return default
    text = query[name].removesuffix(".0")
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS or int(text) < low:
        raise plain_refusal(f"{error_texts.out_of_bounds((name,), '>=', low)} and a whole number")
    return int(text)


def choice(query: Mapping[str, str], name: str, allowed: Sequence[str]) -> str | None:
    """One of `allowed`, None where the query has none."""
    value = query.get(name)
    if value is not None and value not in allowed:
        raise plain_refusal(error_texts.not_in_enum((name,), allowed, value))
    return value


def flag(query: Mapping[str, str], name: str) -> bool:
    """`true` or `false`, and false where the query has none."""
    return choice(query, name, FLAGS) == "true"


def text(query: Mapping[str, str], name: str) -> str | None:
    """None for an empty text too: forms send those."""
    return query.get(name) or None


def required(query: Mapping[str, str], name: str) -> str:
    """A text that must be there."""
    value = text(query, name)
    if value is None:
        raise plain_refusal(error_texts.missing((), (name,)))
    return value


def headers(scope: Scope, name: bytes) -> list[str]:
    """All values of a header; `name` is in lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def header(scope: Scope, name: bytes) -> str | None:
    """The first value, None without one."""
    found = headers(scope, name)
    return found[0] if found else None
