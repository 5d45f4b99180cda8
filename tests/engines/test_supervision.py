"""app.engines.supervision: what a heartbeat and processor time say together, and how long the pauses are."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.engines.supervision import HEALTHY_S, Heart, Pauses, Supervision
from app.errors import EngineLost

pytestmark = pytest.mark.anyio

QUICK = Supervision(stall_s=0.1, step_s=0.3)
FOR_EVER = 3600.0


async def answers() -> None:
    await asyncio.sleep(0)


async def hangs() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise ConnectionError


def stands_still() -> float:
    return 7.0


def computing() -> Callable[[], float]:
    """More than any wall clock lets one core do, so that a slow machine makes no difference."""
    clock = itertools.count()
    return lambda: float(next(clock))


async def verdict(
    beat: Callable[[], Awaitable[Any]], computed: Callable[[], float] | None, step_s: float = FOR_EVER
) -> str:
    supervision = Supervision(stall_s=QUICK.stall_s, step_s=step_s)
    return await asyncio.wait_for(Heart(beat, computed, supervision).stopped(), 20)


async def test_one_that_neither_answers_nor_computes_has_stopped() -> None:
    assert await verdict(hangs, stands_still) == "has neither answered nor computed for 0.1 s"


async def test_a_long_step_is_not_taken_for_a_stop() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(verdict(hangs, computing()), 1)


async def test_an_endless_step_is_found_though_it_computes() -> None:
    assert await verdict(hangs, computing(), step_s=0.3) == "has been in one step for 0.3 s"


async def test_without_processor_time_a_silent_one_counts_as_computing() -> None:
    assert await verdict(hangs, None, step_s=0.2) == "has been in one step for 0.2 s"


@pytest.mark.parametrize("beat", [answers, fails])
async def test_one_that_answers_is_left_alone_though_it_idles(beat: Callable[[], Awaitable[None]]) -> None:
    """One that fails to be asked dies, and that is told of elsewhere."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(verdict(beat, stands_still), 1)


async def test_one_that_never_will_answer_says_why() -> None:
    async def lost() -> None:
        raise EngineLost("has lost its thread")

    assert await verdict(lost, computing()) == "has lost its thread"


async def test_one_that_stops_later_is_found_and_the_beat_is_not_left_behind() -> None:
    left: list[bool] = []

    async def after_three() -> None:
        left.append(True)
        if len(left) > 3:
            try:
                await hangs()
            finally:
                left.append(False)

    assert "neither" in await verdict(after_three, stands_still)
    assert left[-1] is False


async def test_time_in_which_this_process_did_not_run_does_not_count() -> None:
    """As after SIGSTOP of the whole group, or a suspended machine: the engine could not answer either."""
    answered = asyncio.Event()
    supervision = Supervision(stall_s=1.0, step_s=FOR_EVER)
    stopped = asyncio.create_task(Heart(answered.wait, stands_still, supervision).stopped())
    await asyncio.sleep(0.05)
    import time

    time.sleep(1.5)  # noqa: ASYNC251  stands for the stop: nothing of this process runs
    answered.set()
    await asyncio.sleep(0.3)
    assert not stopped.done()
    stopped.cancel()


def test_pauses_grow_to_a_minute_and_begin_anew_after_ten_healthy_ones() -> None:
    now = 0.0
    pauses = Pauses(lambda: now)
    assert [pauses.next_s() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    pauses.served()
    now += HEALTHY_S - 1
    assert pauses.next_s() == 60
    pauses.served()
    now += HEALTHY_S
    assert [pauses.next_s(), pauses.next_s()] == [1, 2]
    now += 10 * HEALTHY_S
    assert pauses.next_s() == 4, "it did not serve meanwhile"
