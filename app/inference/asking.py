"""A job before its engine: it is asked again where the engine dies before the first token, and is started again."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Self, TypeVar

from app.engines.engine import Deltas, Engine, LeasedAdapter
from app.errors import EngineDied
from app.inference.admission import Place
from app.types import Delta, Prompt, StoredAdapter, TextRequest

T = TypeVar("T")

TRIES: Final = 3
"""A request may be what the engine dies of: it must not kill it again and again."""

LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """A request that may run."""

    place: Place
    request: TextRequest
    prompt: Prompt
    adapter: StoredAdapter | None
    account_id: str
    request_id: str


class EngineReturn:
    """Tells everybody at once when an engine that is started again serves, or won't."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._looking: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Raises EngineDied when it does not come back."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)  # who leaves does not end it for the others
        if self._engine.health().state != "ready":
            raise EngineDied

    async def _look(self) -> None:
        while self._engine.health().state == "starting":  # noqa: ASYNC110  rare: an engine is started again
            await asyncio.sleep(LOOK_S)


class Asking:
    """The deltas of a job, in a block that aborts it at its end. Iterate it once.

    Its adapter is leased for each try. Raises what the engine raises, EngineDied when it died with a token out.
    """

    def __init__(self, engine: Engine, engine_return: EngineReturn, job: Job) -> None:
        self._engine = engine
        self._return = engine_return
        self._job = job
        self._tries = 0
        self._begun = False
        self._lease: AbstractAsyncContextManager[LeasedAdapter] | None = None
        self._deltas: Deltas | None = None

    async def __aenter__(self) -> Self:
        while await self._tried(self._take) is None:
            pass
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._let_go()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        if self._begun:
            return await self.rest()
        while (first := await self._tried(self._first)) is None:
            pass
        self._begun = True
        return first

    @property
    def rest(self) -> Callable[[], Awaitable[Delta]]:
        """Gives the deltas after the first, without a step between."""
        assert self._deltas is not None
        return self._deltas.__anext__

    async def _tried(self, step: Callable[[], Awaitable[T]]) -> T | None:
        """What the step gives; None where the engine died, and has come back."""
        try:
            return await step()
        except EngineDied:
            await self._let_go()
            self._tries += 1
            if self._tries == TRIES:
                raise
        await self._return.wait()
        return None

    async def _first(self) -> Delta:
        deltas = self._deltas or await self._take()
        return await deltas.__anext__()

    async def _take(self) -> Deltas:
        job = self._job
        lease = None if job.adapter is None else self._engine.lease(job.adapter)
        leased = None if lease is None else await lease.__aenter__()
        self._lease = lease
        try:
            self._deltas = self._engine.generate(
                job.prompt,
                job.request.sampling,
                request_id=job.request_id,
                adapter=leased,
                cache_salt=job.account_id,
            )
        finally:
            if self._deltas is None:  # whatever it raised: a lease that is kept holds its slot for ever
                await self._let_go()
        return self._deltas

    async def _let_go(self) -> None:
        deltas, lease = self._deltas, self._lease
        self._deltas = self._lease = None
        try:
            if deltas is not None:
                await deltas.aclose()
        finally:
            if lease is not None:
                await lease.__aexit__(None, None, None)
