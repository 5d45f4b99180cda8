"""Grammars are written and compiled in a child process that can be killed: only what compiled there is served."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from app.engines.structural_tag import structural_tag
from app.errors import JsonModeUnmet
from app.inference.constrained.worker import Broken, TooSlow
from app.inference.constrained.worker_pool import WorkerPool
from app.types import Grammar

MODULE: Final = "app.inference.constrained.grammar_worker"
COMPILE_MAX_S: Final = 8.0
MAX_REMEMBERED: Final = 512
MAX_REMEMBERED_CHARS: Final = 32_000_000


class Verdict(NamedTuple):
    """The tag that the engine takes, or what is wrong."""

    tag: str | None
    wrong: str | None


class Grammars:
    """`weights` gives the folder whose vocabulary the engine has. Verdicts are remembered, refusals too.

    `compile_max_s` are seconds for each way of writing a grammar.
    """

    def __init__(
        self,
        weights: Callable[[], Path],
        *,
        compile_max_s: float = COMPILE_MAX_S,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self.compile_max_s = compile_max_s
        self._max_remembered = max_remembered
        self.pool = WorkerPool(MODULE, lambda: (str(weights()),))
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    async def admit(self, grammar: Grammar, name: str = "the schema", account_id: str = "") -> Grammar:
        """The grammar as the engine takes it. Raises JsonModeUnmet with the reason when it can't be compiled in time,
        OutOfCapacity when many wait. `name` says in the refusal what it is of.
        """
        tag = structural_tag(grammar)
        key = sha256(tag.encode()).digest()
        if key not in self._verdicts:
            self._verdicts[key] = await self._verdict(tag, account_id)
        self._verdicts.move_to_end(key)
        verdict = self._verdicts[key]
        self._forget_some()
        if verdict.tag is None:
            raise JsonModeUnmet(f"No grammar can be made of {name}: {verdict.wrong}")
        return Grammar(structural_tag=verdict.tag)

    async def stop(self) -> None:
        await self.pool.stop()

    def _forget_some(self) -> None:
        """The oldest, where they are too many or too long."""
        chars = sum(len(verdict.tag or "") for verdict in self._verdicts.values())
        while len(self._verdicts) > self._max_remembered or (
            chars > MAX_REMEMBERED_CHARS and len(self._verdicts) > 1
        ):
            _, oldest = self._verdicts.popitem(last=False)
            chars -= len(oldest.tag or "")

    async def _verdict(self, tag: str, account_id: str) -> Verdict:
        """A looser grammar is made where the exact one takes too much."""
        wrong = ""
        for loose in (False, True):
            try:
                answer = await self.pool.ask({"tag": tag, "loose": loose}, self.compile_max_s, account_id)
            except TooSlow:
                wrong = f"it took longer than {self.compile_max_s:g} s: simplify it"
            except Broken:
                wrong = "it needs too much memory: simplify it"
            else:
                return Verdict(answer["tag"], answer["wrong"])
        return Verdict(None, wrong)
