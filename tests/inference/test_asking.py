"""app/inference/asking.py: an engine that dies before the first token, and comes back, or does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from app.engines.engine import Engine, EngineHealth, LeasedAdapter
from app.engines.vllm.engine import VllmEngine
from app.errors import EngineDied, InternalError, OutOfCapacity
from app.inference.admission import Admission
from app.inference.asking import TRIES, Asking, EngineReturn, Job
from app.types import Delta, Prompt, Sampling, StoredAdapter, TextRequest

pytestmark = pytest.mark.anyio
PIRATE = StoredAdapter("id", "acme", "pirate", "m", "w", "d" * 64, Path("/nowhere"), 4)


class Mortal:
    """An engine that dies at each of `deaths` (at a lease, at the question, before or after the first token)."""

    def __init__(self, *deaths: str, comes_back: bool = True) -> None:
        self.deaths = list(deaths)
        self.comes_back = comes_back
        self.state = "ready"
        self.leases = self.held = self.asked = self.open = 0

    def die(self, where: str) -> None:
        if self.deaths and self.deaths[0] == where:
            self.deaths.pop(0)
            self.state = "starting"
            asyncio.get_running_loop().call_later(0.01, self._end)
            raise EngineDied

    def _end(self) -> None:
        self.state = "ready" if self.comes_back else "failed"

    def health(self) -> EngineHealth:
        return EngineHealth(self.state)  # type: ignore[arg-type]

    @asynccontextmanager
    async def lease(self, adapter: StoredAdapter) -> AsyncIterator[LeasedAdapter]:
        self.die("lease")
        self.leases += 1
        self.held += 1
        try:
            yield LeasedAdapter(adapter, self.leases)
        finally:
            self.held -= 1

    def generate(self, *_: Any, adapter: LeasedAdapter | None, **__: Any) -> AsyncIterator[Delta]:
        self.asked += 1
        self.die("question")
        return self._deltas(adapter)

    async def _deltas(self, adapter: LeasedAdapter | None) -> AsyncIterator[Delta]:
        self.open += 1
        try:
            self.die("first")
            yield Delta(f"{adapter.int_id if adapter else 0}", [1])
            self.die("second")
            yield Delta(" end", [2], "stop")
        finally:
            self.open -= 1


def asking(mortal: Mortal, adapter: StoredAdapter | None = PIRATE) -> Asking:
    engine = cast(Engine, mortal)
    request = TextRequest("Why?", None, Sampling(max_tokens=2))
    place = Admission(1, 1).admit()
    job = Job(place, request, Prompt([1], opens_turn=False), adapter, "acme", "request")
    return Asking(engine, EngineReturn(engine), job)


async def answer(mortal: Mortal, adapter: StoredAdapter | None = PIRATE) -> str:
    try:
        async with asking(mortal, adapter) as deltas:
            return "".join([delta.text async for delta in deltas])
    finally:
        assert (mortal.held, mortal.open) == (0, 0)


@pytest.mark.parametrize("death", ["lease", "question", "first"])
async def test_who_has_no_token_is_answered_by_the_next(death: str) -> None:
    mortal = Mortal(death)
    assert await answer(mortal) == f"{mortal.leases} end"
    assert mortal.leases == (1 if death == "lease" else 2)


async def test_one_without_an_adapter_too() -> None:
    assert await answer(Mortal("question", "first"), None) == "0 end"


async def test_who_has_a_token_hears_of_it() -> None:
    mortal = Mortal("second")
    with pytest.raises(InternalError):
        await answer(mortal)
    assert mortal.asked == 1


async def test_a_request_that_kills_is_not_asked_for_ever() -> None:
    mortal = Mortal(*["first"] * (TRIES + 5))
    with pytest.raises(EngineDied):
        await answer(mortal)
    assert mortal.asked == TRIES


@pytest.mark.parametrize("death", ["lease", "question", "first"])
async def test_an_engine_that_does_not_come_back(death: str) -> None:
    with pytest.raises(EngineDied):
        await answer(Mortal(death, comes_back=False))


@pytest.mark.parametrize(
    "fault",
    [lambda: OutOfCapacity("All slots are in use."), InternalError, ValueError],
    ids=["full", "fault", "another's"],
)
async def test_other_faults_are_told_at_once(fault: Callable[[], Exception]) -> None:
    mortal = Mortal()

    def die(where: str) -> None:
        if where == "question":
            raise fault()

    mortal.die = die  # type: ignore[method-assign]
    with pytest.raises(type(fault())):
        await answer(mortal)
    assert mortal.asked == 1


async def test_a_vllm_that_is_stopped_while_it_is_started_again_is_not_waited_for() -> None:
    engine = VllmEngine(lambda: pytest.fail("not started here"), wait_s=1)
    waiting = asyncio.create_task(EngineReturn(engine).wait())
    await asyncio.sleep(0)
    await engine.stop(0)
    with pytest.raises(EngineDied):
        await asyncio.wait_for(waiting, 10)


async def test_all_that_wait_look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mortal = Mortal()
    looks = 0

    def health() -> EngineHealth:
        nonlocal looks
        looks += 1
        return EngineHealth("starting" if looks < 3 else "ready")

    monkeypatch.setattr(mortal, "health", health)
    back = EngineReturn(cast(Engine, mortal))
    waiting = [asyncio.ensure_future(back.wait()) for _ in range(1000)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who leaves takes nothing from the others
    await asyncio.gather(*waiting[1:])
    assert looks < 1010
