"""Finds the calls in a model's text while it is written.

Text passes at once, but for what may be the beginning of a call; a call is shown when it is whole and right. One that
is cut is never shown, in whatever pieces its text arrives.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson

from app.errors import JsonModeUnmet
from app.inference.constrained.schema_checker import AccountSchemas
from app.inference.constrained.schema_limits import nests_deeper_than
from app.inference.constrained.tool_prompt import CALL_BEGINS, CALL_ENDS
from app.inference.constrained.tools import MAX_ARGUMENT_LEVELS
from app.types import Delta, TokenLogprob, Tool, ToolCall

# What changes the meaning of the next characters of a call: in a JSON string its end is text like any other.
_MARKS: Final = re.compile(rf'\\.|"|{re.escape(CALL_ENDS)}', re.DOTALL)
ID_BYTES: Final = 12
"""Ids look like OpenAI's own, `call_` and 24 characters. They stay between server and client: no prompt has them."""


class CallScanner:
    """Splits text, in any pieces, into what is shown and the insides of whole calls. Linear in the text's length."""

    def __init__(self) -> None:
        self._held = ""
        self._in_call = False
        self._after_call = False
        self._in_string = False
        self._seen = 0

    @property
    def holds(self) -> bool:
        """Whether something of the text so far is neither shown nor a call yet."""
        return bool(self._held) or self._in_call

    def feed(self, text: str) -> tuple[str, list[str]]:
        """What may be shown now, and the calls that are whole now. Blanks after a call are no text."""
        self._held += text
        shown: list[str] = []
        calls: list[str] = []
        while self._take_call(calls) if self._in_call else self._take_text(shown):
            pass
        return "".join(shown), calls

    def rest(self) -> str:
        """What was held in case that it begins a call, when the text ends. A call that has begun stays held."""
        rest = "" if self._in_call else self._held
        self._held = self._held[len(rest) :]
        return rest

    def _take_text(self, shown: list[str]) -> bool:
        """Show what comes before a call; whether one begins."""
        if self._after_call:
            self._held = self._held.lstrip()
        before, begin, behind = self._held.partition(CALL_BEGINS)
        kept = 0 if begin else _beginning_at_the_end(before)
        text = before[: len(before) - kept]
        if text:
            self._after_call = False
            shown.append(text)
        self._held = behind if begin else before[len(text) :]
        self._in_call = bool(begin)
        self._seen = 0
        return self._in_call

    def _take_call(self, calls: list[str]) -> bool:
        """Whether the call ends."""
        for mark in _MARKS.finditer(self._held, self._seen):
            if mark[0] == CALL_ENDS and not self._in_string:
                calls.append(self._held[: mark.start()])
                self._held = self._held[mark.end() :]
                self._in_call, self._after_call = False, True
                return True
            self._seen = mark.end()
            self._in_string ^= mark[0] == '"'
        self._seen = max(self._seen, len(self._held) - len(CALL_ENDS) + 1)
        return False


def _beginning_at_the_end(text: str) -> int:
    """How many of the last characters could begin a call."""
    longest = min(len(text), len(CALL_BEGINS) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(CALL_BEGINS[:size])), 0)


class ToolCalls:
    """Deltas with the calls of `tools` taken out of their text: one for each delta that comes in.

    With `one_call` none after the first is shown: an engine without grammars may write more.

    Raises JsonModeUnmet for a call that is none, whose arguments its tool's parameters refuse, or that is missing where
    there must be one.
    """

    def __init__(
        self,
        deltas: AsyncIterator[Delta],
        tools: Sequence[Tool],
        schemas: AccountSchemas,
        *,
        must_call: bool = False,
        one_call: bool = False,
    ) -> None:
        self._deltas = deltas
        self._must_call = must_call
        self._one_call = one_call
        self._tools = {tool.name: tool for tool in tools}
        self._schemas = schemas
        self._scanner = CallScanner()
        self._called = False
        self._logprobs: tuple[TokenLogprob, ...] = ()

    def __aiter__(self) -> "ToolCalls":
        return self

    async def __anext__(self) -> Delta:
        delta = await anext(self._deltas)
        text, insides = self._scanner.feed(delta.text)
        if self._one_call:
            insides = [] if self._called else insides[:1]
        calls = [await self._call(inside) for inside in insides]
        self._called |= bool(calls)
        reason = delta.finish_reason
        if reason == "stop":
            if self._must_call and not self._called:
                raise JsonModeUnmet(
                    "The answer ended before its call of a tool: a stop text may stand in the call"
                )
            text += self._scanner.rest()
            reason = "tool_calls" if self._called else "stop"
        logprobs = self._shown_logprobs(delta, bool(calls))
        return delta._replace(text=text, tool_calls=tuple(calls), finish_reason=reason, logprobs=logprobs)

    async def _call(self, inside: str) -> ToolCall:
        call = _read(inside)
        if not isinstance(call, dict) or call.keys() != {"name", "arguments"}:
            raise JsonModeUnmet("The model wrote a call without name and arguments")
        tool = self._tools.get(call["name"]) if isinstance(call["name"], str) else None
        if tool is None:
            raise JsonModeUnmet("The model called a function that is not one of the tools")
        arguments = json.dumps(call["arguments"], ensure_ascii=False)
        fault = await self._schemas.fault(tool.parameters, arguments)
        if fault is not None:
            raise JsonModeUnmet(f"The model's arguments for {tool.name}: {fault}")
        return ToolCall(f"call_{secrets.token_hex(ID_BYTES)}", tool.name, arguments)

    def _shown_logprobs(self, delta: Delta, called: bool) -> tuple[TokenLogprob, ...]:
        """Those of text that is shown: tokens of a call, and of what is held, would tell what it says."""
        self._logprobs = () if called else self._logprobs + delta.logprobs
        if self._scanner.holds:
            return ()
        shown, self._logprobs = self._logprobs, ()
        return shown


def _read(inside: str) -> Any:
    """What a call says. The stricter parser, which answers are rendered with too, must read it; the other one keeps
    long integers as they are.
    """
    try:
        if nests_deeper_than(orjson.loads(inside), MAX_ARGUMENT_LEVELS + 1):
            raise JsonModeUnmet(
                f"The model wrote a call that nests more than {MAX_ARGUMENT_LEVELS} levels deep"
            )
        return json.loads(inside)
    except ValueError:
        raise JsonModeUnmet("The model wrote a call that is not JSON") from None
