"""The end of an answer in JSON mode: its last delta comes only when the whole text is what was asked for."""

from collections.abc import AsyncIterator

import orjson

from app.errors import JsonModeUnmet
from app.inference.constrained.cut import why_cut
from app.inference.constrained.schema_checker import Schemas
from app.types import Delta, JsonFormat


class JsonModeCheck:
    """The deltas as they come. Raises JsonModeUnmet in place of a last one that would end something else.

    An answer that calls tools is none in JSON: the calls were checked when they were found. Where it `may_be_cut`, one
    that `max_tokens` cuts is shown as far as it came; its finish reason says so.
    """

    def __init__(
        self,
        deltas: AsyncIterator[Delta],
        json_format: JsonFormat,
        schemas: Schemas,
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
