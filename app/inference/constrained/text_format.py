"""Answers that must be one of some texts, as vLLM's `structured_outputs` asks for them."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from app.errors import JsonModeUnmet
from app.inference.constrained.schema_checker import AccountSchemas
from app.inference.constrained.schema_limits import check_schema
from app.types import Delta, Grammar, TextFormat

MARK: Final = {"type": "const_string", "value": " "}
"""The space that the tokenizer puts before an answer's first word, which is not shown: so the rest is what was asked."""


def schema_of(wanted: TextFormat) -> dict[str, Any] | None:
    """What the texts are as JSON strings; None where JSON Schema can't say it."""
    if wanted.kind == "choice":
        return {"enum": list(wanted.value)}
    if wanted.kind == "regex":
        return {"type": "string", "pattern": f"^(?:{wanted.value})$"}
    return None


def check_bounds(wanted: TextFormat) -> None:
    """Raises BadInput for more than a schema may have of it."""
    schema = schema_of(wanted)
    check_schema(wanted.path, {"const": wanted.value} if schema is None else schema)


def grammar_of_text(wanted: TextFormat, *, opens_turn: bool) -> Grammar:
    """`opens_turn` is the prompt's."""
    if wanted.kind == "structural_tag":
        return Grammar(structural_tag=str(wanted.value))
    body = _body(wanted)
    whole = {"type": "sequence", "elements": [MARK, body]} if opens_turn else body
    return Grammar(structural_tag=json.dumps({"type": "structural_tag", "format": whole}))


def _body(wanted: TextFormat) -> dict[str, Any]:
    if wanted.kind == "choice":
        return {"type": "or", "elements": [{"type": "const_string", "value": text} for text in wanted.value]}
    if wanted.kind == "regex":
        return {"type": "regex", "pattern": wanted.value}
    return {"type": "grammar", "grammar": wanted.value}


class CheckedText:
    """The deltas as they come. Raises JsonModeUnmet in place of a last one that would end another text.

    An answer that `max_tokens` cuts is shown as far as it came. What JSON Schema can't say only the engine's grammar
    keeps.
    """

    def __init__(self, deltas: AsyncIterator[Delta], wanted: TextFormat, schemas: AccountSchemas) -> None:
        self._deltas = deltas
        self._schema = schema_of(wanted)
        self._schemas = schemas
        self._kind = wanted.kind
        self._pieces: list[str] = []

    def __aiter__(self) -> "CheckedText":
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._deltas)
        if self._schema is not None:
            self._pieces.append(delta.text)
            if delta.finish_reason == "stop":
                await self._check(self._schema)
        return delta

    async def _check(self, schema: dict[str, Any]) -> None:
        """The text as it is shown: without the tokenizer's space, where one is there."""
        text = "".join(self._pieces)
        for shown in dict.fromkeys((text, text.removeprefix(" "))):
            if await self._schemas.fault(schema, json.dumps(shown)) is None:
                return
        raise JsonModeUnmet(f"The model's answer is not one that the {self._kind} allows")
