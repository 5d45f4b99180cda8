"""Grammars are first compiled in a child process that can be killed: only what compiled there reaches the engine."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

from app.engines.sampling_params import structural_tag
from app.errors import JsonModeUnmet
from app.inference.helper import Broken, Helper, TooSlow
from app.types import Grammar

MODULE: Final = "app.inference.grammar_helper"
COMPILE_MAX_S: Final = 8.0
MAX_REMEMBERED: Final = 512


class Grammars:
    """`weights` gives the folder whose vocabulary the engine has. Verdicts are remembered, refusals too."""

    def __init__(self, weights: Callable[[], Path]) -> None:
        self._helper = Helper(MODULE, lambda: (str(weights()),))
        self._verdicts: OrderedDict[bytes, str | None] = OrderedDict()

    async def admit(self, grammar: Grammar, what: str = "schema") -> None:
        """Raises JsonModeUnmet with the reason when it can't be compiled in time, OutOfCapacity when many wait."""
        tag = structural_tag(grammar)
        key = sha256(tag.encode()).digest()
        if key not in self._verdicts:
            self._verdicts[key] = await self._verdict(tag)
        self._verdicts.move_to_end(key)
        wrong = self._verdicts[key]
        while len(self._verdicts) > MAX_REMEMBERED:
            self._verdicts.popitem(last=False)
        if wrong is not None:
            raise JsonModeUnmet(f"No grammar can be made of the {what}: {wrong}")

    async def stop(self) -> None:
        await self._helper.stop()

    async def _verdict(self, tag: str) -> str | None:
        try:
            wrong: str | None = (await self._helper.ask({"tag": tag}, COMPILE_MAX_S))["wrong"]
        except TooSlow:
            return f"it took longer than {COMPILE_MAX_S:g} s: simplify it"
        except Broken:
            return "it needs too much memory: simplify it"
        return wrong
