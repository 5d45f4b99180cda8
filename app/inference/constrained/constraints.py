"""What a request wants its answer to be: JSON, calls of tools, or one of some texts. Plain requests never come here.

Before the run the answer's grammar is built and tried out; in the run the deltas are read, checked and changed.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from app.errors import JsonModeUnmet
from app.inference.constrained.cut import why_cut
from app.inference.constrained.grammar_checker import Grammars
from app.inference.constrained.json_mode import PATH, grammar_of_json
from app.inference.constrained.schema_checker import AccountSchemas, Schemas
from app.inference.constrained.text_format import CheckedText, grammar_of_text, schema_of
from app.inference.constrained.tool_calls import ToolCalls
from app.inference.constrained.tool_grammar import grammar_of_calls
from app.types import Delta, Grammar, JsonFormat, TextRequest


class JsonModeCheck:
    """The deltas as they come. Raises JsonModeUnmet in place of a last one that would end something else.

    An answer that calls tools is none in JSON: the calls were checked when they were found. Where it `may_be_cut`, one
    that `max_tokens` cuts is shown as far as it came; its finish reason says so.
    """

    def __init__(
        self,
        deltas: AsyncIterator[Delta],
        json_format: JsonFormat,
        schemas: AccountSchemas,
        max_tokens: int,
        *,
        may_be_cut: bool = False,
    ) -> None:
        self._deltas = deltas
        self._json_format = json_format
        self._schemas = schemas
        self._max_tokens = max_tokens
        self._judged = ("stop",) if may_be_cut else ("stop", "length")
        self._pieces: list[str] = []
        self._called = False

    def __aiter__(self) -> "JsonModeCheck":
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._deltas)
        self._pieces.append(delta.text)
        self._called |= bool(delta.tool_calls)
        if delta.finish_reason in self._judged and not self._called:
            fault = await self._fault()
            if fault is not None and delta.finish_reason == "length":
                fault = why_cut("".join(self._pieces), self._max_tokens)
            if fault is not None:
                raise JsonModeUnmet(f"The model's answer {fault}")
        return delta

    async def _fault(self) -> str | None:
        """What is wrong, in a few words. Both parsers must read it: jsonschema's, and the strict one that answers are
        rendered with.
        """
        text = "".join(self._pieces)
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return "is not JSON"
        if self._json_format.schema is None:
            return None if isinstance(value, dict) else "is not a JSON object"
        return await self._schemas.fault(self._json_format.schema, text)


class Constraints:
    """`weights` gives the folder that the engine's vocabulary comes from, None where the engine has no grammars."""

    def __init__(self, weights: Callable[[], Path] | None) -> None:
        self._schemas = Schemas()
        self._grammars = Grammars(weights) if weights is not None else None

    @staticmethod
    def wanted(request: TextRequest) -> bool:
        return request.json_format is not None or bool(request.tools) or request.text_format is not None

    async def constrain(
        self, request: TextRequest, account_id: str, *, opens_turn: bool = True
    ) -> TextRequest:
        """The request with its grammar; `opens_turn` is the prompt's. Raises BadInput, JsonModeUnmet or OutOfCapacity."""
        schemas = AccountSchemas(self._schemas, account_id)
        for tool in request.tools:
            await schemas.admit(("tools", tool.name, "parameters"), tool.parameters)
        if request.json_format is not None and request.json_format.schema is not None:
            await schemas.admit(PATH, request.json_format.schema)
        if request.text_format is not None and (schema := schema_of(request.text_format)) is not None:
            await schemas.admit(request.text_format.path, schema)
        grammar = _grammar(request, opens_turn)
        what = "schema" if request.text_format is None else request.text_format.path[-1]
        if self._grammars is not None:
            for tried, name in _parts(request):
                await self._grammars.admit(tried, name, account_id)
            grammar = await self._grammars.admit(grammar, f"the {what}", account_id)
        return replace(request, sampling=replace(request.sampling, grammar=grammar))

    def apply(
        self, deltas: AsyncIterator[Delta], request: TextRequest, account_id: str
    ) -> AsyncIterator[Delta]:
        """Nothing to close: what reads the deltas holds nothing but text."""
        schemas = AccountSchemas(self._schemas, account_id)
        if request.tools:
            must_call = request.tool_choice == "required"
            deltas = ToolCalls(deltas, request.tools, schemas, must_call=must_call, one_call=request.one_call)
        if request.text_format is not None:
            deltas = CheckedText(deltas, request.text_format, schemas)
        if request.json_format is not None:
            deltas = JsonModeCheck(
                deltas,
                request.json_format,
                schemas,
                request.sampling.max_tokens,
                may_be_cut=request.may_be_cut,
            )
        return deltas

    async def stop(self) -> None:
        await self._schemas.stop()
        if self._grammars is not None:
            await self._grammars.stop()


def _grammar(request: TextRequest, opens_turn: bool) -> Grammar:
    if request.text_format is not None:
        return grammar_of_text(request.text_format, opens_turn=opens_turn)
    if request.tools:
        return grammar_of_calls(
            request.tools, request.tool_choice, request.json_format, one_call=request.one_call
        )
    assert request.json_format is not None
    return grammar_of_json(request.json_format)


def _parts(request: TextRequest) -> Iterator[tuple[Grammar, str]]:
    """What may come in an answer that may also be something else, each with its name: a trial of the whole could miss
    it, and would not say which it is.
    """
    if request.tools and request.json_format is not None:
        yield grammar_of_json(request.json_format), "response_format"
    for tool in request.tools:
        yield grammar_of_calls((tool,), "required", None), f"the parameters of {tool.name}"
