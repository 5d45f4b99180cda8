"""app.engines.transformers.engine under supervision: its real thread hangs, in two ways, and ends."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from app.engines.supervision import Supervision
from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.errors import EngineLost, InternalError, OutOfCapacity
from app.types import Prompt

from .conftest import GREEDY, PromptOf, ask_engine

pytestmark = pytest.mark.anyio
LONG = replace(GREEDY, max_tokens=400, ignore_eos=True)
FOR_EVER = 3600.0


@pytest.fixture
def question(prompt_of: PromptOf) -> Prompt:
    return prompt_of("What is Outworker?")


@asynccontextmanager
async def watched(
    plan: TransformersPlan, stall_s: float, step_s: float
) -> AsyncIterator[tuple[TransformersEngine, "asyncio.Future[EngineLost]"]]:
    """The engine, and what the server is told of it. Left behind without a thread that hangs."""
    lost: asyncio.Future[EngineLost] = asyncio.get_running_loop().create_future()
    supervision = Supervision(stall_s=stall_s, step_s=step_s, lost=lost.set_result)
    engine = TransformersEngine(lambda: plan, wait_s=0.2, supervision=supervision)
    await engine.start()
    scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
    try:
        yield engine, lost
    finally:
        await engine.stop(0)
        await asyncio.to_thread(scheduler.close)


async def hang(engine: TransformersEngine, wait: Callable[[], object]) -> None:
    """The thread that computes is in `wait` now, as in a call of native code."""
    inside = threading.Event()

    def job() -> None:
        inside.set()
        wait()

    engine._runtime.scheduler.between_steps(job)  # type: ignore[union-attr]
    await asyncio.to_thread(inside.wait)


async def test_a_thread_that_waits_for_ever_is_told_to_all(plan: TransformersPlan, question: Prompt) -> None:
    async with watched(plan, stall_s=0.5, step_s=FOR_EVER) as (engine, lost):
        stream = engine.generate(question, LONG, request_id="a", adapter=None, cache_salt="a")
        await anext(stream)
        go_on = threading.Event()
        try:
            await hang(engine, go_on.wait)
            failure = await asyncio.wait_for(lost, 20)
            assert "neither answered nor computed for 0.5 s" in str(failure)
            with pytest.raises(InternalError):
                [delta async for delta in stream]
            assert engine.health().state == "failed"
            with pytest.raises(OutOfCapacity):
                await ask_engine(engine, question, GREEDY)
            await asyncio.wait_for(engine.stop(30), 20)  # does not wait for the thread
        finally:
            go_on.set()


async def test_a_thread_that_computes_for_ever_is_found_after_longer(plan: TransformersPlan) -> None:
    async with watched(plan, stall_s=0.3, step_s=1.0) as (engine, lost):
        go_on = threading.Event()
        try:
            await hang(engine, lambda: spin(go_on))
            assert "in one step for 1 s" in str(await asyncio.wait_for(lost, 20))
        finally:
            go_on.set()


async def test_a_long_step_that_computes_and_an_idle_engine_are_left_alone(
    plan: TransformersPlan, question: Prompt
) -> None:
    async with watched(plan, stall_s=0.3, step_s=FOR_EVER) as (engine, lost):
        go_on = threading.Event()
        await hang(engine, lambda: spin(go_on))
        await asyncio.sleep(1.2)
        go_on.set()
        assert (await ask_engine(engine, question, GREEDY)).token_ids
        await asyncio.sleep(1.2)  # idle
        assert not lost.done()
        assert engine.health().state == "ready"


async def test_a_thread_that_has_ended_is_told_to_the_server(plan: TransformersPlan) -> None:
    async with watched(plan, stall_s=5, step_s=FOR_EVER) as (engine, lost):
        await asyncio.to_thread(engine._runtime.scheduler.close)  # type: ignore[union-attr]
        assert "has lost the thread that computes" in str(await asyncio.wait_for(lost, 20))
        assert engine.health().state == "failed"


def spin(until: threading.Event) -> None:
    """Computes; lets other threads run now and then, as native code does all the time."""
    while not until.is_set():
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        time.sleep(0)
