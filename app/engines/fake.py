"""The fake engine: the whole Engine contract without a model. Tests, front-end benchmarks and demos run on it.

Answers a fixed sentence, one word per token, `delay_s` apart; an adapter's answer starts with its name, so that a test
sees which one a request met. What it started and how each request ended is kept for tests to look at.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, islice
from math import log

from app.engines.adapter_slots import AdapterSlots
from app.engines.choices import TunedSetting
from app.engines.deployment import Deployment, EngineParts
from app.engines.engine import EngineHealth, LeasedAdapter, not_ready
from app.settings import Model
from app.types import Delta, FinishReason, Prompt, Sampling, StoredAdapter, TokenLogprob

ANSWER = "This is the fake engine of Outworker . It repeats one sentence and needs no model ."
KEPT_RECORDS = 2048
KEPT_ANSWERS = 32
SERVED_SLOTS = 16


class FakeEngine:
    """`start_s` and `delay_s` are seconds; `answer` is split at spaces, one token each, repeated up to max_tokens when
    `endless` or where a request ignores the end, else up to its `min_tokens`; `tokens_per_delta` come at once. Grammars
    are ignored, so an answer in JSON is one only where `answer` is.
    """

    compiles_grammars = False
    has: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        answer: str = ANSWER,
        delay_s: float = 0.0,
        start_s: float = 0.0,
        endless: bool = False,
        tokens_per_delta: int = 1,
        slots: int = 4,
        wait_s: float = 5.0,
    ) -> None:
        words = answer.split(" ")
        self._pieces = [words[0], *(f" {word}" for word in words[1:])]
        self._delay_s = delay_s
        self._start_s = start_s
        self._endless = endless
        self._tokens_per_delta = tokens_per_delta
        self._deltas = lru_cache(KEPT_ANSWERS)(self._make)
        self._health = EngineHealth("starting")
        self._adapter_slots = AdapterSlots(slots, self._swap, self._swap, wait_s)
        self.running: set[str] = set()
        self.finished: deque[str] = deque(maxlen=KEPT_RECORDS)
        self.aborted: deque[str] = deque(maxlen=KEPT_RECORDS)

    async def start(self) -> None:
        await asyncio.sleep(self._start_s)
        self._health = EngineHealth("ready")

    async def stop(self, drain_s: float) -> None:
        async def idle() -> None:
            while self.running:  # noqa: ASYNC110  a fake may poll
                await asyncio.sleep(0.01)

        with suppress(TimeoutError):
            await asyncio.wait_for(idle(), drain_s)
        self._health = EngineHealth("stopped")

    def health(self) -> EngineHealth:
        return self._health

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        return self._adapter_slots.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        await self._adapter_slots.forget(adapter)

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> AsyncGenerator[Delta, None]:
        if self._health.state != "ready":
            raise not_ready()
        assert cache_salt
        self.running.add(request_id)
        try:
            for delta in self._deltas(sampling, None if adapter is None else adapter.stored.name):
                await asyncio.sleep(self._delay_s)
                yield delta
            self.finished.append(request_id)
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(request_id)
            raise
        finally:
            self.running.discard(request_id)

    def _make(self, sampling: Sampling, adapter: str | None) -> tuple[Delta, ...]:
        """Kept for equal requests, because benchmarks of front ends count what an engine's part takes as theirs."""
        pieces, reason, stop_text = self._answer(sampling, adapter)
        each = self._tokens_per_delta
        deltas = []
        for first in range(0, len(pieces), each):
            some = pieces[first : first + each]
            logprobs = _logprobs(pieces, first, len(some), sampling.logprobs)
            ended = reason if first + each >= len(pieces) else None
            found = stop_text if ended else None
            ids = self._ids(first, len(some))
            deltas.append(Delta("".join(some), ids, ended, 0, logprobs, stop_text=found))
        return tuple(deltas)

    def _ids(self, first: int, count: int) -> list[int]:
        return [index % len(self._pieces) for index in range(first, first + count)]

    def _answer(
        self, sampling: Sampling, adapter: str | None
    ) -> tuple[Sequence[str], FinishReason, str | None]:
        """One piece per token, why there are no more, and the stop text where it was one."""
        pieces = self._pieces
        if adapter is not None:
            pieces = [f"[{adapter}] {pieces[0]}", *pieces[1:]]
        endless = self._endless or sampling.ignore_eos
        tokens = sampling.max_tokens if endless else max(len(pieces), sampling.min_tokens)
        pieces = list(islice(cycle(pieces), tokens))
        stopped = _before_stop(pieces[: sampling.max_tokens], sampling.stop)
        if stopped is not None:
            return stopped[0], "stop", stopped[1]
        whole = len(pieces) <= sampling.max_tokens and not endless
        return pieces[: sampling.max_tokens], "stop" if whole else "length", None

    async def _swap(self, adapter: LeasedAdapter) -> None:
        await asyncio.sleep(0)


def _before_stop(pieces: Sequence[str], stop: Sequence[str]) -> tuple[list[str], str] | None:
    """The pieces up to the first stop text, the last one cut, and which it is; None where there is none of them."""
    text = "".join(pieces)
    starts = [(start, one) for one in stop if (start := text.find(one)) >= 0]
    if not starts:
        return None
    (end, found), kept = min(starts, key=lambda each: each[0]), list[str]()
    for piece in pieces:
        kept.append(piece[:end])
        end -= len(kept[-1])
        if len(kept[-1]) < len(piece):
            break
    return kept, found


def _logprobs(
    pieces: Sequence[str], first: int, count: int, alternatives: int | None
) -> tuple[TokenLogprob, ...]:
    if alternatives is None:
        return ()
    return tuple(_logprob(pieces, index, alternatives) for index in range(first, first + count))


def _logprob(pieces: Sequence[str], index: int, alternatives: int) -> TokenLogprob:
    """Each alternative, the drawn token first, is half as likely as the one before."""
    likeliest = [pieces[(index + rank) % len(pieces)] for rank in range(alternatives)]
    top = tuple((text, log(0.5) * (rank + 1)) for rank, text in enumerate(likeliest))
    return TokenLogprob(pieces[index], log(0.5), top)


@dataclass(frozen=True, slots=True)
class FakePlan:
    """The fake engine is started in one way."""

    choices: tuple[TunedSetting, ...] = ()


def plan(deployment: Deployment) -> FakePlan:
    """Nothing is looked at."""
    return FakePlan()


def build(model: Model, make_plan: Callable[[], FakePlan], parts: EngineParts) -> FakeEngine:
    """Make the engine without starting it."""
    return FakeEngine(slots=model.max_adapters_resident or SERVED_SLOTS, wait_s=parts.slot_wait_s)
