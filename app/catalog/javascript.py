"""How JavaScript sees a JSON value: the text of a refusal was written by a validator that runs there.

Values are what orjson parses: dict, list, str, int, float, bool, None. Source: ECMAScript 2024, sections
6.1.6.1.20 (number to string), 10.1.11.1 (order of keys) and 23.1.3.36 (arrays as strings); `type_names` is
`@cloudflare/cabidela` 0.2.4.
"""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

MAX_SCANNED_ITEMS = 1024
MAX_INDEX_DIGITS = 10
MAX_INDEX = 2**32 - 2
PLAIN_NUMBER_BELOW = 1e21
PLAIN_NUMBER_FROM = 1e-6


def type_names(value: Any) -> tuple[str, ...]:
    """The types a value counts as; a list with neither object, list nor boolean is also `binary`.

    cabidela looks for the first item that is neither a number nor a string, and takes a null found there for nothing
    found. At most `MAX_SCANNED_ITEMS` items are looked at.
    """
    match value:
        case None:
            return ("null",)
        case bool():
            return ("boolean",)
        case str():
            return ("string",)
        case int() | float():
            return ("number", "integer") if isinstance(value, int) or value.is_integer() else ("number",)
        case list():
            return ("array", "binary") if _is_binary(value) else ("array",)
    return ("object",)


def _is_binary(items: list[Any]) -> bool:
    for item in islice(items, MAX_SCANNED_ITEMS):
        if isinstance(item, bool) or not isinstance(item, (int, float, str)):
            return item is None
    return True


def is_among(value: Any, allowed: list[Any]) -> bool:
    """Whether a scalar `===` one of the allowed ones: true is not 1, and a list or an object equals none."""
    if isinstance(value, (list, dict)):
        return False
    return any(isinstance(value, bool) == isinstance(other, bool) and value == other for other in allowed)


def utf16_length(text: str) -> int:
    """The length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def own_keys(value: dict[str, Any]) -> list[str]:
    """Keys in the order of JavaScript: array indices ascending, then the rest as they came."""
    indices = sorted((key for key in value if _is_index(key)), key=int)
    return indices + [key for key in value if not _is_index(key)] if indices else list(value)


def _is_index(key: str) -> bool:
    if not key[:1].isdigit() or len(key) > MAX_INDEX_DIGITS or not (key.isascii() and key.isdecimal()):
        return False
    return (key == "0" or key[0] != "0") and int(key) <= MAX_INDEX


def number_text(value: float) -> str:
    """`String(value)` of a number: `5` for 5.0, `0.00001`, `1e-7`, `1e+21`."""
    digits = repr(float(value))
    size = abs(float(value))
    if size == 0:
        return "0"
    if not PLAIN_NUMBER_FROM <= size < PLAIN_NUMBER_BELOW:
        mantissa, _, exponent = digits.partition("e")
        return f"{mantissa}e{int(exponent):+d}"
    return format(Decimal(digits), "f").removesuffix(".0")


def text(value: Any, max_chars: int) -> str:
    """`String(value)`, cut after about `max_chars` characters; a list is read no further than needed."""
    if not isinstance(value, list):
        return _scalar_text(value)[: max_chars + 1]
    parts: list[str] = []
    length = 0
    for part in _leaves(value):
        parts.append(part[: max_chars + 1])
        length += len(part) + 1
        if length > max_chars + 1:
            break
    return ",".join(parts)


def _leaves(value: list[Any]) -> Iterator[str]:
    """The texts between the commas; a null and an empty list are empty. Not recursive: lists nest deeply."""
    open_lists = [iter(value)] if value else []
    while open_lists:
        for item in open_lists[-1]:
            if isinstance(item, list) and item:
                open_lists.append(iter(item))
                break
            yield "" if item is None or item == [] else _scalar_text(item)
        else:
            open_lists.pop()


def _scalar_text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return number_text(value)
    return "[object Object]"
