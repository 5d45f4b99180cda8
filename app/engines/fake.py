"""The fake engine: the whole Engine contract without a model. Tests, front-end benchmarks and demos run on it.

Answers a fixed sentence, one word per token, `delay_s` apart; an adapter's answer starts with its name, so that a test
sees which one a request met. What it started and how each request ended is kept for tests to look at.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, suppress

from app.engines.engine import EngineHealth, LeasedAdapter
from app.engines.residents import Residents
from app.errors import OutOfCapacity
from app.types import Delta, FinishReason, Prompt, Sampling, StoredAdapter

ANSWER = "This is the fake engine of Outworker . It repeats one sentence and needs no model ."
KEPT_RECORDS = 2048


class FakeEngine:
    """`start_s` and `delay_s` are seconds; `answer` is split at spaces, one token each, repeated up to max_tokens
    when `endless`. `failure` makes start fail with that reason.
    """

    def __init__(
        self,
        *,
        answer: str = ANSWER,
        delay_s: float = 0.0,
        start_s: float = 0.0,
        endless: bool = False,
        slots: int = 4,
        wait_s: float = 5.0,
    ) -> None:
        words = answer.split(" ")
        self._pieces = [words[0], *(f" {word}" for word in words[1:])]
        self._delay_s = delay_s
        self._start_s = start_s
        self._endless = endless
        self._health = EngineHealth("starting")
        self._residents = Residents(slots, self._swap, self._swap, wait_s)
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
        return self._residents.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        await self._residents.forget(adapter)

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
            raise OutOfCapacity("The engine is not ready.")
        assert cache_salt
        self.running.add(request_id)
        try:
            async for delta in self._deltas(sampling.max_tokens, adapter):
                yield delta
            self.finished.append(request_id)
        except (asyncio.CancelledError, GeneratorExit):
            self.aborted.append(request_id)
            raise
        finally:
            self.running.discard(request_id)

    async def _deltas(self, max_tokens: int, adapter: LeasedAdapter | None) -> AsyncGenerator[Delta, None]:
        pieces = self._pieces
        if adapter is not None:
            pieces = [f"[{adapter.stored.name}] {pieces[0]}", *pieces[1:]]
        total = max_tokens if self._endless else min(max_tokens, len(pieces))
        for index in range(total):
            await asyncio.sleep(self._delay_s)
            last = index == total - 1
            whole = total == len(pieces) and not self._endless
            reason: FinishReason | None = None if not last else "stop" if whole else "length"
            yield Delta(pieces[index % len(pieces)], [index % len(pieces)], reason)

    async def _swap(self, adapter: LeasedAdapter) -> None:
        await asyncio.sleep(0)
