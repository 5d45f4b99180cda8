"""A body that the JSON parser did not take: valid JSON all the same, or what is wrong with it and where."""

import re
import sys
from math import isinf
from typing import Final

import orjson

from app.http.json_bounds import MAX_JSON_VALUES

BOM: Final = b"\xef\xbb\xbf"
LONE_SURROGATE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
"""Every escape of a text, one after the other; the group is set where it is half a character."""

MAX_DIGITS: Final = sys.float_info.max_10_exp + 1  # before the point, without an exponent
HUGE: Final = b"1e308"  # no longer than any number that is too large
LONG_NUMBER_BYTES: Final = 1000
TEXT_OR_NUMBER: Final = re.compile(
    rb'"(?:[^"\\]++|\\.)*+"?|-?([0-9]++)(?:\.[0-9]++)?+([eE][+-]?[0-9]++)?+', re.DOTALL
)
"""Each begins where the one before it ended, whatever follows: no byte is looked at twice."""

BEGINNINGS: Final = {
    b"\x1f\x8b": "the body is gzip: send it plain",
    b"\x28\xb5\x2f\xfd": "the body is zstd: send it plain",
    b"x\x9c": "the body is deflate: send it plain",
    b"x\x01": "the body is deflate: send it plain",
    b"x\xda": "the body is deflate: send it plain",
    b"\xff\xfe": "the body is UTF-16 or UTF-32: send UTF-8",
    b"\xfe\xff": "the body is UTF-16: send UTF-8",
    b"\x00": "the body is UTF-16 or UTF-32: send UTF-8",
    b"{\x00": "the body is UTF-16 or UTF-32: send UTF-8",
    b"<": "the body is markup",
    b"%7B": "the body is percent-encoded: send it plain",
    b"%7b": "the body is percent-encoded: send it plain",
}
FORM: Final = re.compile(rb"[\w.\-%+\[\]]+=[^\s{}]*(?:&|\Z)")
FORM_MAX_BYTES: Final = 1000

WORDS: Final = {
    "'": "single quotes: JSON has double quotes",
    "`": "backquotes: JSON has double quotes",
    "“": "typographic quotes: JSON has straight ones",
    "”": "typographic quotes: JSON has straight ones",
    "„": "typographic quotes: JSON has straight ones",
    "‘": "typographic quotes: JSON has straight double ones",  # noqa: RUF001
    "’": "typographic quotes: JSON has straight double ones",  # noqa: RUF001
    "True": "True is Python: write true",
    "False": "False is Python: write false",
    "None": "None is Python: write null",
    "undefined": "undefined is not JSON: write null or leave it out",
    "NaN": "NaN is not JSON",
    "nan": "NaN is not JSON",
    "Infinity": "Infinity is not JSON",
    "inf": "Infinity is not JSON",
    "//": "JSON has no comments",
    "/*": "JSON has no comments",
    "#": "JSON has no comments",
}
"""What stands where the parser stopped."""

REASONS: Final = {
    "trailing comma": "trailing comma",
    "unexpected end of data": "it ends too early: a quote, a bracket or a brace is not closed",
    "unexpected control character": "a line break or another control character inside a text: write \\n",
    "unexpected content after document": "something follows the value: one body is one JSON value",
    "unexpected character, expected a string key": "a property's name in double quotes was expected",
}
"""The parser's words in ours; the others of its own are good as they are."""


def mended(body: bytes) -> bytes:
    """The same JSON without a byte order mark, and half characters as U+FFFD."""
    return LONE_SURROGATE.sub(_whole_character, body.removeprefix(BOM))


def within_range(body: bytes) -> bytes:
    """The same JSON, as long as it was, with `HUGE` for what no double can hold: who checks the field refuses it.

    RFC 8259, 6, lets a reader limit the range of numbers; they are JSON all the same. Never an infinity.
    """
    return TEXT_OR_NUMBER.sub(_within_range, body, count=MAX_JSON_VALUES)


def _within_range(found: re.Match[bytes]) -> bytes:
    text, digits, exponent = found.group(0, 1, 2)
    if digits is None:
        return text
    if len(text) > LONG_NUMBER_BYTES:
        too_large = exponent is None and len(digits.lstrip(b"0")) > MAX_DIGITS
    else:
        too_large = isinf(float(text))
    return (b"-" + HUGE if text.startswith(b"-") else HUGE).ljust(len(text)) if too_large else text


def _whole_character(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape[1] else escape[0]


def fault(body: bytes, error: orjson.JSONDecodeError) -> str:
    """Where the parser stopped, as `line 1, column 9: trailing comma`, or what the body is instead of JSON."""
    if other := _other_form(body):
        return other
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        return f"byte 0x{body[wrong.start]:02x} at position {wrong.start} is not UTF-8: send the body as plain UTF-8"
    return f"line {error.lineno}, column {error.colno}: {_reason(text[error.pos :], error.msg)}"


def _other_form(body: bytes) -> str | None:
    if not body.strip(b" \t\r\n"):
        return "the body is empty"
    for beginning, what in BEGINNINGS.items():
        if body.startswith(beginning):
            return what
    begin = body[:FORM_MAX_BYTES]
    if begin.startswith(b"--") and b"content-disposition" in begin.lower():
        return "the body is a multipart form: send JSON"
    return "the body is a form: send JSON" if FORM.match(begin) else None


def _reason(rest: str, message: str) -> str:
    for word, why in WORDS.items():
        if rest.startswith(word):
            return why
    return next((why for begin, why in REASONS.items() if message.startswith(begin)), message)
