"""app.engines.transformers.scheduler: who runs when, and within which bounds."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.engines.transformers.attention import Segment
from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.errors import InternalError
from app.types import Prompt, Sampling, StoredAdapter

from .conftest import GREEDY, PromptOf, ask_engine

pytestmark = pytest.mark.anyio
SHORT = replace(GREEDY, max_tokens=6)
ENDLESS = Sampling(max_tokens=300, temperature=0.0, ignore_eos=True)


@dataclass
class Steps:
    """What the model was asked to compute: the segments' counts of each step, and who may have had how much cache."""

    counts: list[list[int]] = field(default_factory=list)
    capacities: list[int] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)


@asynccontextmanager
async def watched(plan: TransformersPlan, **changes: Any) -> AsyncIterator[tuple[TransformersEngine, Steps]]:
    """An engine whose steps are written down; none begins before `held` is set."""
    engine = TransformersEngine(lambda: replace(plan, **changes), wait_s=1)
    await engine.start()
    steps = Steps()
    model = engine._runtime.model  # type: ignore[union-attr]
    whole = model.logits

    def logits(segments: Sequence[Segment], *args: Any) -> Any:
        steps.held.wait()
        steps.counts.append([segment.count for segment in segments])
        steps.capacities.append(sum(segment.cache._values.shape[3] for segment in segments))
        return whole(segments, *args)

    model.logits = logits  # type: ignore[method-assign]
    try:
        yield engine, steps
    finally:
        steps.held.set()
        await engine.stop(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def running(engine: TransformersEngine) -> int:
    return engine._runtime.scheduler.running  # type: ignore[union-attr]


async def test_no_more_rows_than_allowed(plan: TransformersPlan, asked: Sequence[Prompt]) -> None:
    async with watched(plan, max_rows=3) as (engine, steps):
        tasks = [asyncio.create_task(ask_engine(engine, prompt, SHORT)) for prompt in asked[:5]]
        await until(lambda: running(engine) == 5)
        steps.held.set()
        together = await asyncio.gather(*tasks)
        alone = [await ask_engine(engine, prompt, SHORT) for prompt in asked[:5]]
    assert max(map(len, steps.counts)) == 3
    assert [answer.text for answer in together] == [answer.text for answer in alone]


async def test_no_more_cache_than_allowed(plan: TransformersPlan, asked: Sequence[Prompt]) -> None:
    """Each counts with its longest answer; a request that needs nearly everything has its turn too."""
    kv_tokens = 400
    long = replace(GREEDY, max_tokens=kv_tokens - 60, stop=(".",))
    async with watched(plan, kv_tokens=kv_tokens, max_model_len=kv_tokens) as (engine, steps):
        samplings = [GREEDY] * 5 + [long] + [GREEDY] * 5
        tasks = [
            asyncio.create_task(ask_engine(engine, prompt, sampling))
            for prompt, sampling in zip(asked, samplings, strict=False)
        ]
        await until(lambda: running(engine) == len(samplings))
        steps.held.set()
        await asyncio.gather(*tasks)
    assert max(steps.capacities) <= kv_tokens
    assert max(map(len, steps.counts)) > 2


async def test_a_long_prompt_is_read_beside_running_answers(
    plan: TransformersPlan, prompt_of: PromptOf, asked: Sequence[Prompt]
) -> None:
    """In pieces, while the running answer gets a token in each step."""
    long = prompt_of("word " * 300)
    async with watched(plan, step_tokens=50) as (engine, steps):
        steps.held.set()
        first = engine.generate(asked[0], ENDLESS, request_id="r", adapter=None, cache_salt="a")
        await anext(first)
        await ask_engine(engine, long, GREEDY)
        await first.aclose()
    pieces = [counts for counts in steps.counts if counts == [1, 50]]
    assert len(pieces) == len(long.token_ids) // 50
    assert max(map(sum, steps.counts)) == 51


async def test_prompts_are_cut_the_same_whatever_runs_beside(
    plan: TransformersPlan, prompt_of: PromptOf
) -> None:
    """Each piece of 40 tokens whole, of as many prompts as fit into 40 tokens."""
    prompts = [prompt_of("word " * count) for count in (100, 50, 20)]
    async with watched(plan, step_tokens=40) as (engine, steps):
        tasks = [asyncio.create_task(ask_engine(engine, prompt, GREEDY)) for prompt in prompts]
        await until(lambda: running(engine) == len(prompts))
        steps.held.set()
        await asyncio.gather(*tasks)
    read = [count for counts in steps.counts for count in counts if count > 1]
    expected = [
        min(40, length - start)
        for length in (len(prompt.token_ids) for prompt in prompts)
        for start in range(0, length, 40)
    ]
    assert sorted(read) == sorted(count for count in expected if count > 1)


async def test_who_runs_can_leave(plan: TransformersPlan, asked: Sequence[Prompt]) -> None:
    """Before the next step, or the one after where that has begun."""
    async with watched(plan) as (engine, steps):
        steps.held.set()
        stream = engine.generate(asked[0], ENDLESS, request_id="r", adapter=None, cache_salt="a")
        await anext(stream)
        steps.held.clear()
        so_far = len(steps.counts)
        await stream.aclose()
        steps.held.set()
        await until(lambda: running(engine) == 0)
        assert len(steps.counts) <= so_far + 2


async def test_its_memory_goes_when_an_answer_is_whole_though_nobody_has_read_it(
    plan: TransformersPlan, asked: Sequence[Prompt]
) -> None:
    async with watched(plan) as (engine, steps):
        caches: list[weakref.ref[Any]] = []
        make = engine._runtime.model.cache  # type: ignore[union-attr]

        def cache(capacity: int) -> Any:
            made = make(capacity)
            caches.append(weakref.ref(made))
            return made

        engine._runtime.model.cache = cache  # type: ignore[union-attr,method-assign]
        stream = engine.generate(asked[0], SHORT, request_id="r", adapter=None, cache_salt="s")
        first = asyncio.ensure_future(anext(stream))
        steps.held.set()
        await first
        await until(lambda: not engine._runtime.scheduler.running)  # type: ignore[union-attr]
        await until(lambda: caches[0]() is None)
        await stream.aclose()


async def test_who_waits_can_leave(plan: TransformersPlan, asked: Sequence[Prompt]) -> None:
    async with watched(plan, max_rows=1) as (engine, steps):
        first = asyncio.create_task(ask_engine(engine, asked[0], GREEDY))
        await until(lambda: running(engine) == 1)
        waiting = asyncio.create_task(ask_engine(engine, asked[1], ENDLESS))
        await until(lambda: running(engine) == 2)
        waiting.cancel()
        steps.held.set()
        await first
        await until(lambda: running(engine) == 0)
        assert len(steps.counts) == GREEDY.max_tokens


async def test_jobs_run_between_steps(plan: TransformersPlan, asked: Sequence[Prompt]) -> None:
    """In the thread that computes, while a request runs; what one raises is its own."""
    async with watched(plan) as (engine, steps):
        scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
        steps.held.set()
        task = asyncio.create_task(ask_engine(engine, asked[0], ENDLESS))
        await until(lambda: running(engine) == 1)
        threads: list[str] = []
        job = scheduler.between_steps(lambda: threads.append(threading.current_thread().name))
        await asyncio.wrap_future(job)
        assert threads == ["transformers-scheduler"]
        with pytest.raises(ZeroDivisionError):
            await asyncio.wrap_future(scheduler.between_steps(lambda: 1 / 0))
        assert not task.done()
        task.cancel()
        await until(lambda: running(engine) == 0)
    with pytest.raises(InternalError):
        scheduler.between_steps(lambda: None).result()


async def test_the_end_is_an_error_for_who_waits(
    plan: TransformersPlan, asked: Sequence[Prompt], adapters: dict[str, StoredAdapter]
) -> None:
    """For an adapter too: a task that seemed to be cancelled would end without an answer."""
    async with watched(plan) as (engine, steps):
        scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
        running_one = asyncio.create_task(ask_engine(engine, asked[0], GREEDY))
        await until(lambda: len(scheduler._rows) == 1)
        waiting = asyncio.create_task(ask_engine(engine, asked[0], GREEDY, adapters["json"]))
        await until(lambda: len(scheduler._jobs) == 1)
        stopping = asyncio.create_task(engine.stop(0))
        await until(lambda: scheduler._closing)
        steps.held.set()
        for task in (running_one, waiting):
            with pytest.raises(InternalError):
                await task
        await stopping


async def test_a_job_that_was_given_up_keeps_nobody_from_hearing_of_the_end(
    plan: TransformersPlan, asked: Sequence[Prompt]
) -> None:
    async with watched(plan) as (engine, steps):
        scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
        task = asyncio.create_task(ask_engine(engine, asked[0], ENDLESS))
        await until(lambda: running(engine) == 1)
        scheduler.between_steps(lambda: None).cancel()
        closing = asyncio.create_task(asyncio.to_thread(scheduler.close))
        await until(lambda: scheduler._closing)
        steps.held.set()
        with pytest.raises(InternalError):
            await asyncio.wait_for(task, 20)
        await closing


async def test_a_job_that_nobody_waits_for_is_left_out(
    plan: TransformersPlan, asked: Sequence[Prompt]
) -> None:
    async with watched(plan) as (engine, steps):
        task = asyncio.create_task(ask_engine(engine, asked[0], GREEDY))
        await until(lambda: running(engine) == 1)
        done: list[str] = []
        scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
        first = scheduler.between_steps(lambda: done.append("first"))
        second = scheduler.between_steps(lambda: done.append("second"))
        assert first.cancel()
        steps.held.set()
        await asyncio.wrap_future(second)
        await task
    assert done == ["second"]
