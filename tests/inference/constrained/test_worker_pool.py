"""app.inference.constrained.worker_pool: accounts take turns, whatever each of them asks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.errors import OutOfCapacity
from app.inference.constrained.worker import Broken, TooSlow
from app.inference.constrained.worker_pool import WorkerPool
from app.settings import CHECKOUT

pytestmark = pytest.mark.anyio

MODULE = "tests.inference.obedient"
LIMIT_S = 30.0


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


@pytest.fixture(params=[1, 2, 3])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(MODULE, workers=request.param)
    yield pool
    await pool.stop()
    assert all(worker.pid is None for worker in pool.workers)


async def ended_in_order(pool: WorkerPool, jobs: list[tuple[str, float]]) -> list[str]:
    """Jobs of accounts that begin one after the other, with their seconds; whose ended, in the order of their ends."""
    ended: list[str] = []

    async def one(account_id: str, sleep_s: float) -> None:
        await pool.ask({"sleep_s": sleep_s, "account": account_id}, LIMIT_S, account_id)
        ended.append(account_id)

    tasks = []
    for account_id, sleep_s in jobs:
        tasks.append(asyncio.create_task(one(account_id, sleep_s)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return ended


async def test_nine_slow_jobs_delay_another_account_by_one(pool: WorkerPool) -> None:
    ended = await ended_in_order(pool, [*[("many", 0.1)] * 9, ("one", 0.0)])
    assert ended.index("one") <= len(
        pool.workers
    )  # behind those that had begun, and it begins as the first ends
    assert len(ended) == 10


async def test_accounts_take_turns_in_the_order_in_which_they_came(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [*[("a", 0.05)] * 6, *[("b", 0.05)] * 3, *[("c", 0.05)] * 3]
    begun: list[str] = []
    ask = pool.workers[0].ask

    async def noted(job: dict[str, Any], limit_s: float) -> dict[str, Any]:
        begun.append(job["account"])
        return await ask(job, limit_s)

    for worker in pool.workers[1:]:
        pool._idle.remove(worker)  # one at a time, so that the order is told
    monkeypatch.setattr(pool.workers[0], "ask", noted)
    await ended_in_order(pool, jobs)
    assert begun == ["a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "a", "a"]


async def test_as_many_processes_as_are_needed_at_once(pool: WorkerPool) -> None:
    for _ in range(3):
        await pool.ask({}, LIMIT_S)
    assert len([worker for worker in pool.workers if worker.pid]) == 1
    answers = await asyncio.gather(*(pool.ask({"sleep_s": 0.1}, LIMIT_S) for _ in range(6)))
    assert len({answer["pid"] for answer in answers}) == len(pool.workers)


async def test_one_who_leaves_while_waiting_takes_no_turn(pool: WorkerPool) -> None:
    busy = [asyncio.create_task(pool.ask({"sleep_s": 0.2}, LIMIT_S, "a")) for _ in pool.workers]
    await asyncio.sleep(0.02)
    leaving = asyncio.create_task(pool.ask({"end": True}, LIMIT_S, "b"))
    await asyncio.sleep(0.02)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await asyncio.gather(*busy)
    answers = await asyncio.gather(*(pool.ask({"echo": number}, LIMIT_S, "b") for number in range(5)))
    assert [answer["echo"] for answer in answers] == list(range(5))


async def test_one_who_leaves_a_job_that_runs_takes_nobodys_answer(pool: WorkerPool) -> None:
    leaving = [asyncio.create_task(pool.ask({"sleep_s": 0.2, "echo": "left"}, LIMIT_S)) for _ in pool.workers]
    await asyncio.sleep(0.05)
    for task in leaving:
        task.cancel()
    answers = await asyncio.gather(*(pool.ask({"echo": number}, LIMIT_S) for number in range(5)))
    assert [answer["echo"] for answer in answers] == list(range(5))


async def test_what_fails_gives_its_worker_back(pool: WorkerPool) -> None:
    for _ in range(4):
        with pytest.raises(Broken):
            await pool.ask({"end": True}, LIMIT_S)
    with pytest.raises(TooSlow):
        await pool.ask({"sleep_s": 600}, 0.05)
    answers = await asyncio.gather(*(pool.ask({"echo": number}, LIMIT_S) for number in range(4)))
    assert [answer["echo"] for answer in answers] == list(range(4))


async def test_who_waits_too_long_is_asked_to_come_again() -> None:
    pool = WorkerPool(MODULE, workers=2, wait_max_s=0.05)
    busy = [asyncio.create_task(pool.ask({"sleep_s": 1}, LIMIT_S)) for _ in pool.workers]
    await asyncio.sleep(0)
    with pytest.raises(OutOfCapacity, match="Too many JSON schemas"):
        await pool.ask({}, LIMIT_S)
    await asyncio.gather(*busy)
    assert (await pool.ask({"echo": 1}, LIMIT_S))["echo"] == 1
    await pool.stop()


async def test_stop_ends_what_runs_and_what_waits() -> None:
    pool = WorkerPool(MODULE, workers=2)
    await pool.ask({}, LIMIT_S)
    busy = [asyncio.create_task(pool.ask({"sleep_s": 600}, 600)) for _ in range(3)]
    await asyncio.sleep(0.02)
    await pool.stop()
    for task in busy:  # the third waited
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [worker.pid for worker in pool.workers] == [None, None]
