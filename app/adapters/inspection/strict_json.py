"""JSON without the liberties that parsers take: what two parsers could read differently is refused."""

import json
import math
from typing import Any

import orjson

INTEGER_MAX_DIGITS = 18


class StrictJsonError(ValueError):
    """`str()` says in a few words what is wrong."""


def load_strict(data: bytes) -> Any:
    """The value in `data`. Raises `StrictJsonError`.

    Refused beside bad syntax: duplicate keys, NaN and Infinity, numbers that overflow to infinity, `-0`,
    integers of more than 18 digits, lone surrogates, a byte order mark, encodings other than UTF-8, and deep
    nesting.
    """
    try:
        orjson.loads(data)  # refuses bad UTF-8, lone surrogates and depth, which json takes
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except StrictJsonError:
        raise
    except RecursionError as error:
        raise StrictJsonError("nested too deeply") from error
    except ValueError as error:
        raise StrictJsonError(str(error)) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise StrictJsonError("a key appears twice in one object")
    return result


def _constant(text: str) -> Any:
    raise StrictJsonError(f"{text} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise StrictJsonError("a number is too large")
    return value


def _int(text: str) -> int:
    if text == "-0" or len(text) > INTEGER_MAX_DIGITS:
        raise StrictJsonError(f"an integer is -0 or has more than {INTEGER_MAX_DIGITS} digits")
    return int(text)
