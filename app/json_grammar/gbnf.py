"""Rules of llama.cpp's grammars, GBNF (ggml-org/llama.cpp, grammars/README.md), and what every grammar here is made of.

llama.cpp can also hand a schema to llguidance, which takes a token's text without the space that it begins with in
this vocabulary, and lets an answer run free where it can't read the grammar. So the rules are written here
(`app.engines.llamacpp.grammar.json_schema` has the figures).
"""

import re
import time
from collections.abc import Iterable
from typing import Final

MAX_RULES: Final = 20_000
MAX_CHARS: Final = 1_000_000
"""Of a grammar: half as many take llama.cpp some 10 ms to read."""
MAX_REPEATS: Final = 256
"""Of a part with its bounds: llama.cpp writes each repetition out, and takes 2000 at most. Larger bounds are left to
the check of the finished answer."""

MAX_S: Final = 2.5
MAX_PART_S: Final = 0.7
"""Of computing what patterns and bounds allow, in all and for one: what takes longer is left to the check."""

BLANK: Final = '" "?'
"""Between the parts of JSON."""

_HEX: Final = "[0-9a-fA-F]"
_NEVER_BARE: Final = '"\\\\\\u007F\\u0000-\\u001F'
"""What stands in no text in JSON as it is."""

_BARE: Final = " !#-\\u005B\\u005D-~\\u0080-\\uD7FF\\uE000-\\U0010FFFF"
"""What stands as it is, without the halves of surrogate pairs, which are no text in UTF-8."""

BASIC_RULES: Final = {
    "escape": f'"\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] {_HEX}{{3}} | [dD] [0-7] {_HEX}{{2}}))',
    "char": f"[^{_NEVER_BARE}] | escape",
    "string": '"\\"" text',
    "text": f'"\\"" | [{_BARE}] text | escape text',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": 'integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "member": f'string ":" {BLANK} value',
    "object": f'"{{" {BLANK} (member ("," {BLANK} member)*)? {BLANK} "}}"',
    "array": f'"[" {BLANK} (value ("," {BLANK} value)*)? {BLANK} "]"',
    "value": "object | array | string | number | boolean | null",
}
"""Any JSON in one line; `\\u` escapes have no halves of surrogate pairs, which strict parsers refuse."""

_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPED_IN_SET: Final = re.compile(r"[\]\[\\^\-\x00-\x1f\x7f]")

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NO_NAMES: Final = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]')


class CannotConvert(ValueError):
    """Says in a few words what has no grammar."""


class Rules:
    """Rules by name. `add` names one, `text` is the whole grammar with the rule `root`."""

    def __init__(self, seconds: float = MAX_S) -> None:
        self._rules = dict(BASIC_RULES)
        self._names: dict[str, str] = {}
        self._left = MAX_CHARS
        self._until = time.process_time() + seconds

    @property
    def seconds(self) -> float:
        """Of computing that are left for one part of it."""
        return max(0.0, min(MAX_PART_S, self._until - time.process_time()))

    def reserve(self) -> str:
        """A name for a rule that comes later, because it refers to itself."""
        if len(self._rules) >= MAX_RULES:
            raise CannotConvert(f"it has more than {MAX_RULES} parts")
        name = f"r{len(self._rules)}"
        self._rules[name] = '""'
        return name

    def add(self, body: str) -> str:
        """Equal ones have one name."""
        if body not in self._names:
            name = self._names[body] = self.reserve()
            self.fill(name, body)
        return self._names[body]

    def fill(self, name: str, body: str) -> None:
        self._left -= len(body)
        if self._left < 0:
            raise CannotConvert(f"its grammar has more than {MAX_CHARS} characters")
        self._rules[name] = body

    def text(self, root: str) -> str:
        return "\n".join(f"{name} ::= {body}" for name, body in {"root": root, **self._rules}.items()) + "\n"

    def reachable(self, root: str) -> str:
        """As `text`, without the rules that nothing refers to."""
        bodies = {"root": root, **self._rules}
        found, waiting = {"root"}, ["root"]
        while waiting:
            for name in _NAME.findall(_NO_NAMES.sub(" ", bodies[waiting.pop()])):
                if name in bodies and name not in found:
                    found.add(name)
                    waiting.append(name)
        return "\n".join(f"{name} ::= {body}" for name, body in bodies.items() if name in found) + "\n"


def literal(text: str) -> str:
    """Exactly this text."""
    return '"' + _ESCAPED.sub(lambda match: _escape(match[0]), text) + '"'


def any_of(characters: Iterable[str]) -> str:
    return f"[{_set(characters)}]"


def none_of(characters: Iterable[str]) -> str:
    """Any other character, line ends too."""
    return f"[^{_set(characters)}]"


def bare_but(characters: Iterable[str]) -> str:
    """Any other character that stands for itself in a text in JSON."""
    others = _set(set(characters) - {"\\"})
    return f"[^{_NEVER_BARE}{others}]"


def choice(bodies: Iterable[str]) -> str:
    return " | ".join(bodies)


def repeated(part: str, least: int, most: int | None) -> str:
    """`part` from `least` to `most` times, None for any number; bounds over MAX_REPEATS are loosened."""
    least = min(least, MAX_REPEATS)
    most = None if most is None or most > MAX_REPEATS else max(most, least)
    if most is None:
        return f"({part})*" if least == 0 else f"({part}){{{least},}}"
    return f"({part}){{{least},{most}}}"


def _set(characters: Iterable[str]) -> str:
    return "".join(
        _ESCAPED_IN_SET.sub(lambda match: _escape(match[0]), one) for one in sorted(set(characters))
    )


def _escape(character: str) -> str:
    """Of four digits always: xgrammar reads as many after `\\x` as there are."""
    return f"\\u{ord(character):04X}"
