"""Texts within lengths, patterns and formats, as bodies of rules for strings in JSON."""

import json
from typing import Final

from app.json_grammar import characters
from app.json_grammar.characters import Ranges
from app.json_grammar.formats import FORMATS, MAX_CHARS
from app.json_grammar.gbnf import Rules, choice, literal
from app.json_grammar.language import Term, Terms, TooLarge
from app.json_grammar.machine import Machine, TermSource, machine_of
from app.json_grammar.merging import Form
from app.json_grammar.patterns import NoLanguage, pattern_term

QUOTE: Final = '"\\""'
MAX_NARROWED_CHARS: Final = (256, 96, 48, 24)
"""Lengths that a text is held to where a machine that counts to its own length would be too large."""

BARE: Final = characters.without(
    characters.ALL, characters.of(((0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x9F)))
)
"""What stands for itself in JSON and on a screen."""

SPELLED: Final = {character: json.dumps(character)[1:-1] for character in '"\\\n\t\r\b\f'}
_SAFE_IN_SET: Final = frozenset("!#$%&'()*+,./:;<=>?@_`{|}~ ")


def text_body(rules: Rules, form: Form) -> str | None:
    """None where no text satisfies it. What can't be said is left to the check, the lengths are not."""
    least, most = int(form.get("minLength", 0)), form.get("maxLength")
    most = None if most is None else int(most)
    terms = Terms(rules.seconds)
    patterns, formats, others = _wanted(terms, form)
    if formats and least <= MAX_CHARS:
        formats.append(terms.repeat(terms.set(characters.ALL), 0, MAX_CHARS))
    for wanted in (
        ([*patterns, *formats, *others], [*patterns, *others]) if patterns else ([*formats, *others],)
    ):
        machine = _machine(terms, wanted, least, most) if wanted else None
        if machine is not None:
            return None if machine.empty else f"{QUOTE} {machine_rule(rules, machine, QUOTE)}"
    return _of_length(least, most)


def _wanted(terms: Terms, form: Form) -> tuple[list[Term], list[Term], list[Term]]:
    """Of patterns, of formats and of values that it is not."""
    patterns = []
    for pattern, holds in form.get("+patterns", ()):
        term = _said(terms, pattern)
        if term is not None:
            patterns.append(term if holds else terms.inverse(term))
    known = (_said(terms, FORMATS[name]) for name in form.get("+formats", ()) if name in FORMATS)
    formats = [term for term in known if term is not None]
    others = [
        terms.inverse(terms.text(value)) for value in form.get("+without", ()) if isinstance(value, str)
    ]
    return patterns, formats, others


def _said(terms: Terms, pattern: str) -> Term | None:
    try:
        return pattern_term(terms, pattern)
    except (NoLanguage, TooLarge, ValueError, RecursionError):
        return None


def _machine(terms: Terms, wanted: list[Term], least: int, most: int | None) -> Machine | None:
    """Of shorter texts where those of all lengths are too many to say; None where these are too."""
    shorter = [
        short for short in MAX_NARROWED_CHARS if least <= short < (short + 1 if most is None else most)
    ]
    for length in (most, *shorter):
        try:
            counted = terms.repeat(terms.set(characters.ALL), least, length)
            machine = machine_of(TermSource(terms, terms.both([*wanted, counted])))
        except TooLarge:
            continue
        if not machine.empty or length == most:
            return machine
    return None


def _of_length(least: int, most: int | None) -> str:
    """Bounded ones without escapes: repeated alternatives take a parser of grammars long."""
    if most is None and not least:
        return "string"
    bare = char_set(BARE)
    if most is None:
        return f"{QUOTE} {bare}{{{least}}} text"
    return f"{QUOTE} {bare}{{{least},{most}}} {QUOTE}" if most else '"\\"\\""'


def machine_rule(rules: Rules, machine: Machine, after: str) -> str:
    """The name of the rule for what the machine reads, in JSON's spelling, and what comes `after` it."""
    names = [rules.reserve() for _ in machine.steps]
    for name, steps, ends in zip(names, machine.steps, machine.ends, strict=True):
        ways = [way for ranges, state in steps for way in spelled(ranges, names[state])]
        rules.fill(name, choice([*ways, after] if ends else ways))
    return names[0]


def spelled(ranges: Ranges, follows: str) -> list[str]:
    """A character of the set as it stands in a text in JSON, and what follows."""
    bare = characters.common(ranges, BARE)
    ways = [f"{char_set(bare)} {follows}"] if bare else []
    escaped = [text for character, text in SPELLED.items() if characters.has(ranges, ord(character))]
    if not bare and not escaped:
        escaped = [f"\\u{low:04x}" for low, _ in ranges[:1]]
    return [*ways, *(f"{literal(text)} {follows}" for text in escaped)]


def char_set(ranges: Ranges) -> str:
    return (
        "[" + "".join(_one(low) if low == high else f"{_one(low)}-{_one(high)}" for low, high in ranges) + "]"
    )


def _one(code: int) -> str:
    if chr(code).isascii() and (chr(code).isalnum() or chr(code) in _SAFE_IN_SET):
        return chr(code)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
