"""An ECMA-262 pattern as jsonschema-rs takes it: it reads most of them itself, but not all of their meaning."""

from typing import Final

from app.json_grammar import characters
from app.json_grammar.ecma import (
    Back,
    Chars,
    Either,
    Group,
    Look,
    Mark,
    Node,
    NotEcma,
    Repeat,
    Sequence,
    parse,
)

_WORD: Final = "[0-9A-Za-z_]"
_EDGE: Final = f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))"
_INSIDE: Final = f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))"
_NEVER: Final = "(?!)"


def rust_pattern(pattern: str) -> str:
    """The pattern itself where it can't be read: jsonschema-rs says what is wrong with it."""
    try:
        return _written(parse(pattern))
    except (NotEcma, RecursionError):
        return pattern


def _written(node: Node) -> str:  # noqa: PLR0911 - a case each
    match node:
        case Chars():
            return _class(node)
        case Sequence(parts):
            return "".join(
                f"(?:{_written(part)})" if isinstance(part, Either) else _written(part) for part in parts
            )
        case Either(options):
            return "|".join(map(_written, options))
        case Group(part):
            return f"({_written(part)})"
        case Repeat(part, least, most):
            return f"(?:{_written(part)}){{{least},{'' if most is None else most}}}"
        case Look(part, ahead, negated):
            return f"(?{'' if ahead else '<'}{'!' if negated else '='}{_written(part)})"
        case Mark(kind):
            return {"b": _EDGE, "B": _INSIDE}.get(kind, kind)
        case Back(group):
            return f"(?:\\{group})"


def _class(chars: Chars) -> str:
    inside = "".join(chars.properties) + "".join(_range(low, high) for low, high in chars.ranges)
    if not inside:
        return f"[{_range(0, characters.LAST)}]" if chars.negated else _NEVER
    return f"[{'^' if chars.negated else ''}{inside}]"


def _range(low: int, high: int) -> str:
    """Without the halves of surrogate pairs, which Rust has no characters for."""
    pairs = characters.common(((low, high),), characters.ALL)
    return "".join(f"{_code(a)}-{_code(b)}" if a < b else _code(a) for a, b in pairs)


def _code(code: int) -> str:
    return f"\\u{{{code:X}}}"
