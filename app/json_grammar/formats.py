"""The texts of JSON Schema's formats, as patterns: some of those that a format allows, none that it does not."""

from typing import Final

_YEARS: Final = r"(?:19|20)\d\d"
_LEAP: Final = r"(?:19|20)(?:0[48]|[2468][048]|[13579][26])"
_DATE: Final = (
    rf"(?:{_YEARS}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|{_LEAP}-02-29)"
)
_TIME: Final = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
_CLOCK: Final = r"T(?:\d{1,3}H(?:\d{1,3}M(?:\d{1,3}S)?)?|\d{1,3}M(?:\d{1,3}S)?|\d{1,3}S)"
_DAYS: Final = r"(?:\d{1,3}Y(?:\d{1,2}M(?:\d{1,3}D)?)?|\d{1,2}M(?:\d{1,3}D)?|\d{1,3}D)"
_DURATION: Final = rf"P(?:\d{{1,3}}W|{_DAYS}(?:{_CLOCK})?|{_CLOCK})"
_HOST: Final = r"(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,6}"
_BYTE: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_HEX: Final = "[0-9a-f]{1,4}"
_PATH: Final = r"(?:/[A-Za-z0-9_.~-]+)*/?"
_URI: Final = rf"https?://{_HOST}{_PATH}"
_EMAIL: Final = rf"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@{_HOST}"
_POINTER: Final = r"(?:/(?:[A-Za-z0-9_.-]|~[01])+)*"

MAX_CHARS: Final = 40
"""Of a text in a format, where the schema does not say less: none of them is bounded by itself."""

FORMATS: Final = {
    name: f"^(?:{pattern})$"
    for name, pattern in {
        "date": _DATE,
        "time": _TIME,
        "date-time": f"{_DATE}T{_TIME}",
        "duration": _DURATION,
        "email": _EMAIL,
        "idn-email": _EMAIL,
        "hostname": _HOST,
        "idn-hostname": _HOST,
        "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
        "ipv6": rf"(?:{_HEX}:){{7}}{_HEX}|(?:{_HEX}:){{1,3}}:{_HEX}(?::{_HEX}){{0,2}}|::(?:1|{_HEX})?",
        "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "uri": _URI,
        "iri": _URI,
        "uri-reference": _PATH,
        "iri-reference": _PATH,
        "uri-template": rf"{_URI}|(?:/(?:[A-Za-z0-9_.~-]+|\{{[a-z_]+\}}))*",
        "json-pointer": _POINTER,
        "relative-json-pointer": rf"(?:0|[1-9]\d?)(?:#|{_POINTER})",
        "regex": r"\^[a-z0-9_ -]{0,24}\$",
    }.items()
}
