"""`Grammar` as the text of one of llama.cpp's: a schema, or the structural tags that the answers with calls have."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from app.engines.llamacpp.grammar.json_schema import json_rule
from app.engines.llamacpp.grammar.prefix_tree import branches
from app.errors import JsonModeUnmet
from app.json_grammar.gbnf import BLANK, CannotConvert, Rules, any_of, choice, literal, none_of
from app.types import Grammar

MAX_S: Final = 0.3
"""Of computing what patterns and bounds allow, in all: it is done where nothing else happens meanwhile."""

KEPT_GRAMMARS: Final = 16
"""A client's requests often bring the same schema; a grammar is up to MAX_CHARS long."""


@lru_cache(KEPT_GRAMMARS)
def gbnf_of(grammar: Grammar) -> str:
    """Raises JsonModeUnmet with what has no grammar. The same text for the same grammar, whoever asks."""
    rules = Rules(MAX_S)
    try:
        if grammar.json_schema is not None:
            root = f"{BLANK} {json_rule(rules, json.loads(grammar.json_schema))}"
        else:
            assert grammar.structural_tag is not None
            root = _body(rules, json.loads(grammar.structural_tag)["format"])
    except (CannotConvert, RecursionError) as error:
        wrong = str(error) if isinstance(error, CannotConvert) else "it is nested too deeply"
        raise JsonModeUnmet(f"No grammar can be made of the schema: {wrong}") from None
    return rules.text(root)


def _body(rules: Rules, part: dict[str, Any]) -> str:
    """`part` as what may stand in a rule."""
    return _WRITERS[part["type"]](rules, part)


def _sequence(rules: Rules, part: dict[str, Any]) -> str:
    return " ".join(f"({_body(rules, element)})" for element in part["elements"])


def _or(rules: Rules, part: dict[str, Any]) -> str:
    tags = [element for element in part["elements"] if element["type"] == "tag"]
    texts = {element["value"]: "" for element in part["elements"] if element["type"] == "const_string"}
    others = [
        _body(rules, element)
        for element in part["elements"]
        if element["type"] not in ("tag", "const_string")
    ]
    return choice([*others, *([branches(texts)] if texts else []), *([_tags(rules, tags)] if tags else [])])


def _tag(rules: Rules, part: dict[str, Any]) -> str:
    return _tags(rules, [part])


def _tags(rules: Rules, tags: list[dict[str, Any]], behind: str = "", after: str = "") -> str:
    """One of them without the text `behind`, and what comes after it. Of two that begin alike the last counts."""
    return branches(
        {
            tag["begin"].removeprefix(
                behind
            ): f"({_body(rules, tag['content'])}) {literal(tag['end'])} {after}"
            for tag in tags
        }
    )


def _tags_with_separator(rules: Rules, part: dict[str, Any]) -> str:
    tag = rules.add(_tags(rules, part["tags"]))
    body = tag if part["stop_after_first"] else f"{tag} ({literal(part['separator'])} {tag})*"
    return body if part["at_least_one"] else f"({body})?"


def _triggered_tags(rules: Rules, part: dict[str, Any]) -> str:
    """Any text; where it has come to the trigger, one of the tags follows, and then any text again.

    One rule for each number of the trigger's characters that have just been written, as Knuth, Morris and Pratt find
    a text in a text. Every rule ends in another or in nothing, so that an answer of any length needs no stack.
    """
    (trigger,) = part["triggers"]
    free = [rules.reserve() for _ in trigger]
    after = '""' if part["stop_after_first"] else free[0]
    call = rules.add(_tags(rules, part["tags"], trigger, after))
    for written, name in enumerate(free):
        rules.fill(name, choice(_steps(trigger, written, [*free, call])))
    return free[0]


def _steps(trigger: str, written: int, rule_after: list[str]) -> list[str]:
    """What may come after the first `written` characters of the trigger."""
    steps, known = ['""'], set(trigger)
    for character in sorted(known):
        steps.append(f"{any_of(character)} {rule_after[_matched(trigger, trigger[:written] + character)]}")
    return [*steps, f"{none_of(known)} {rule_after[0]}"]


def _matched(trigger: str, text: str) -> int:
    """How much of the trigger's beginning is the text's end."""
    return next(count for count in range(len(text), -1, -1) if trigger.startswith(text[len(text) - count :]))


_WRITERS: Final[dict[str, Callable[[Rules, dict[str, Any]], str]]] = {
    "sequence": _sequence,
    "or": _or,
    "optional": lambda rules, part: f"({_body(rules, part['content'])})?",
    "const_string": lambda rules, part: literal(part["value"]),
    "tag": _tag,
    "json_schema": lambda rules, part: json_rule(rules, part["json_schema"]),
    "tags_with_separator": _tags_with_separator,
    "triggered_tags": _triggered_tags,
}
"""The kinds that `app.inference.constrained.tool_grammar` writes (xgrammar.mlc.ai/docs, "Structural Tag")."""
