"""Reads ECMA-262 regular expressions: those of its Unicode mode, and what its older mode takes beyond (Annex B)."""

import re
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from app.json_grammar import characters
from app.json_grammar.characters import Ranges

MAX_DEPTH: Final = 100
_GROUP: Final = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|(\((?!\?)|\(\?<(?![=!])(\w+)>)", re.DOTALL)
_BRACES: Final = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_FLAGS: Final = re.compile(r"\?([ims]*)(?:-([ims]+))?:")
_CONTROLS: Final = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_CLASSES: Final = {"d": characters.DIGITS, "w": characters.WORD, "s": characters.SPACES}


class NotEcma(ValueError):
    """Says in a few words what can't be read, and where."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set. `properties` are those that are named in it, as Rust writes them."""

    ranges: Ranges
    properties: tuple[str, ...] = ()
    negated: bool = False
    """Whether it is a character that is neither in `ranges` nor has one of the properties."""


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Either:
    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """One that is counted, for what refers back to it."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class Look:
    part: "Node"
    ahead: bool
    negated: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A place without a character: the beginning, the end, a word's boundary or no such."""

    kind: Literal["^", "$", "b", "B"]


@dataclass(frozen=True, slots=True)
class Back:
    """The same text as the group of this number."""

    group: int


Node = Chars | Sequence | Either | Repeat | Group | Look | Mark | Back


def parse(pattern: str) -> Node:
    """Raises NotEcma."""
    return _Reader(pattern).whole()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        groups = [match for match in _GROUP.finditer(pattern) if match[1]]
        self._groups = len(groups)
        self._names = {match[2]: number for number, match in enumerate(groups, 1) if match[2]}
        self._flags: frozenset[str] = frozenset()

    def whole(self) -> Node:
        node = self._either()
        if self._at < len(self._text):
            self._fail("unmatched ')'")
        return node

    def _fail(self, what: str) -> NoReturn:
        raise NotEcma(f"{what} at character {self._at}")

    def _next(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self, text: str) -> bool:
        taken = self._text.startswith(text, self._at)
        self._at += len(text) * taken
        return taken

    def _either(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"groups more than {MAX_DEPTH} deep")
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        self._depth -= 1
        return options[0] if len(options) == 1 else Either(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._text) and self._next() not in "|)":
            parts.append(self._quantified(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, node: Node) -> Node:
        bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(self._next())
        braces = _BRACES.match(self._text, self._at)
        if bounds is not None:
            self._at += 1
        elif braces is not None:
            self._at = braces.end()
            least = int(braces[1])
            bounds = (least, least if not braces[2] else int(braces[3]) if braces[3] else None)
            if bounds[1] is not None and bounds[1] < least:
                self._fail("numbers out of order in {}")
        else:
            return node
        if isinstance(node, Mark) or (isinstance(node, Look) and not node.ahead):
            self._fail("nothing to repeat")
        self._take("?")  # lazy or not, the texts are the same
        return Repeat(node, *bounds)

    def _atom(self) -> Node:
        character = self._next()
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case ".":
                return Chars(() if "s" in self._flags else characters.LINE_ENDS, negated=True)
            case "^" | "$":
                return self._line(character) if "m" in self._flags else Mark(character)
            case "*" | "+" | "?":
                self._fail("nothing to repeat")
        return self._literal(ord(character))

    def _line(self, mark: str) -> Node:
        ends = Look(Chars(characters.LINE_ENDS), mark == "$", False)
        return Either((Mark("^" if mark == "^" else "$"), ends))

    def _literal(self, code: int) -> Chars:
        one = ((code, code),)
        return Chars(characters.either_case(one) if "i" in self._flags else one)

    def _group(self) -> Node:
        flags, begin = self._flags, self._at
        kind, *how = self._opening()
        changed = _FLAGS.fullmatch(self._text, begin, self._at) if kind == "flags" else None
        if changed is not None:
            self._flags = (flags | set(changed[1])) - set(changed[2] or "")
        part = self._either()
        if not self._take(")"):
            self._fail("unmatched '('")
        self._flags = flags
        if kind == "look":
            return Look(part, how[0] == "ahead", how[1] == "not")
        return Group(part) if kind == "group" else part

    def _opening(self) -> tuple[str, ...]:
        looks = {"?=": ("ahead", ""), "?!": ("ahead", "not"), "?<=": ("behind", ""), "?<!": ("behind", "not")}
        for text, how in looks.items():
            if self._take(text):
                return ("look", *how)
        named = re.compile(r"\?<([^\W\d]\w*|[$_]\w*)>").match(self._text, self._at)
        if named is not None:
            self._at = named.end()
            return ("group",)
        flags = _FLAGS.match(self._text, self._at)
        if flags is not None:
            self._at = flags.end()
            return ("flags",)
        if self._next() == "?":
            self._fail("a group of unknown kind")
        return ("group",)

    def _escape(self) -> Node:
        character = self._next()
        if character in ("b", "B"):
            self._at += 1
            return Mark(character)  # type: ignore[arg-type]
        if character == "k" and self._names:
            name = re.compile(r"k<([^>]*)>").match(self._text, self._at)
            if name is None or name[1] not in self._names:
                self._fail("an unknown name of a group")
            self._at = name.end()
            return Back(self._names[name[1]])
        number = re.compile(r"[1-9]\d*").match(self._text, self._at)
        if number is not None and int(number[0][:6]) <= self._groups:
            self._at = number.end()
            return Back(int(number[0]))
        ranges, properties = self._escaped()
        if not properties and len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            return self._literal(ranges[0][0])
        return Chars(ranges, properties)

    def _escaped(self) -> tuple[Ranges, tuple[str, ...]]:
        """What comes after a backslash, in a class or not."""
        character = self._next()
        if not character:
            self._fail("a backslash at the end")
        self._at += 1
        if character.lower() in _CLASSES:
            ranges = _CLASSES[character.lower()]
            return (ranges if character.islower() else characters.complement(ranges)), ()
        if character in "pP" and self._next() == "{":
            return (), (self._property(character),)
        code = self._code(character)
        return ((code, code),), ()

    def _property(self, kind: str) -> str:
        named = re.compile(r"\{([A-Za-z_]+=)?(\w+)\}").match(self._text, self._at)
        if named is None:
            self._fail("a property without a name")
        self._at = named.end()
        name = f"\\{kind}{{{named[1] or ''}{named[2]}}}"
        try:
            property_ranges(name)
        except ValueError:
            self._fail(f"an unknown property {named[2]}")
        return name

    def _code(self, character: str) -> int:
        """The character that an escape stands for; a letter without a meaning stands for itself."""
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character == "0" and not self._next().isdigit():
            return 0
        octal = re.compile("[0-3][0-7]{0,2}|[4-7][0-7]?").match(self._text, self._at - 1)
        if octal is not None:
            self._at = octal.end()
            return int(octal[0], 8)
        if character == "c" and re.match("[A-Za-z]", self._next()):
            self._at += 1
            return ord(self._text[self._at - 1]) % 32
        for form in {"x": (r"([\da-fA-F]{2})",), "u": (r"\{([\da-fA-F]+)\}", r"([\da-fA-F]{4})")}.get(
            character, ()
        ):
            digits = re.compile(form).match(self._text, self._at)
            if digits is not None:
                self._at = digits.end()
                return self._paired(int(digits[1], 16))
        return ord(character)

    def _paired(self, code: int) -> int:
        """Both halves of a character that is written as two escapes."""
        low = re.compile(r"\\u([dD][c-fC-F][\da-fA-F]{2})").match(self._text, self._at)
        if 0xD800 <= code <= 0xDBFF and low is not None:
            self._at = low.end()
            return 0x10000 + (code - 0xD800) * 0x400 + int(low[1], 16) - 0xDC00
        if code > characters.LAST:
            self._fail("no such character")
        return code

    def _class(self) -> Node:
        negated = self._take("^")
        pairs: list[tuple[int, int]] = []
        properties: list[str] = []
        while not self._take("]"):
            if self._at >= len(self._text):
                self._fail("unmatched '['")
            low, named = self._member()
            properties += named
            code = _only(low) if not named else None
            if code is not None and self._next() == "-" and self._next(2) != "-]":
                self._at += 1
                high, more = self._member()
                end = _only(high) if not more else None
                if end is None:
                    pairs += [(code, code), (45, 45), *high]
                    properties += more
                elif end < code:
                    self._fail("a range out of order")
                else:
                    pairs.append((code, end))
            else:
                pairs += low
        ranges = characters.of(pairs)
        return Chars(
            characters.either_case(ranges) if "i" in self._flags else ranges, tuple(properties), negated
        )

    def _member(self) -> tuple[Ranges, tuple[str, ...]]:
        character = self._next()
        self._at += 1
        if character != "\\":
            if not character:
                self._fail("unmatched '['")
            return ((ord(character), ord(character)),), ()
        if self._take("b"):
            return ((8, 8),), ()
        return self._escaped()


def _only(ranges: Ranges) -> int | None:
    return ranges[0][0] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else None


def property_ranges(written: str) -> Ranges:
    """The characters that `\\p{…}` stands for, or `\\P{…}`. Raises ValueError for an unknown one."""
    ranges = characters.with_property(written[3:-1].removeprefix("General_Category=").removeprefix("gc="))
    return ranges if written[1] == "p" else characters.complement(ranges)


def ranges_of(chars: Chars) -> Ranges:
    """All of them. Raises ValueError for a property that is not known."""
    found = characters.union(chars.ranges, *map(property_ranges, chars.properties))
    return characters.complement(found) if chars.negated else found
