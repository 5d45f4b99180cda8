"""app.inference.constrained.worker: a child that is killed when it takes too long, and never outlives the server."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from app.errors import OutOfCapacity
from app.inference.constrained.worker import Broken, TooSlow, WorkerProcess
from app.settings import CHECKOUT

pytestmark = pytest.mark.anyio

MODULE = "tests.inference.obedient"
LIMIT_S = 10.0


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child looks nowhere but in absolute places; the tests are no installed package."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess(MODULE, lambda: ("a", "b"))
    yield worker
    await worker.stop()
    assert worker.pid is None


async def test_it_starts_at_need_and_stays(worker: WorkerProcess, capfd: pytest.CaptureFixture[str]) -> None:
    assert worker.pid is None
    first = await worker.ask({"echo": "é\n"}, LIMIT_S)
    assert first == {"pid": worker.pid, "echo": "é\n", "arguments": ["a", "b"]}
    assert await worker.ask({"echo": 1}, LIMIT_S) == {**first, "echo": 1}
    assert capfd.readouterr() == ("", "")


async def test_too_slow(worker: WorkerProcess) -> None:
    before = (await worker.ask({}, LIMIT_S))["pid"]
    with pytest.raises(TooSlow):
        await worker.ask({"sleep_s": 600}, 0.05)
    assert not psutil.pid_exists(before)
    after = await worker.ask({"echo": 2}, LIMIT_S)
    assert (after["echo"], after["pid"] != before) == (2, True)


async def test_the_child_ends_over_a_job(worker: WorkerProcess) -> None:
    with pytest.raises(Broken):
        await worker.ask({"end": True}, LIMIT_S)
    assert (await worker.ask({"echo": 3}, LIMIT_S))["echo"] == 3


async def test_memory_is_bounded(worker: WorkerProcess) -> None:
    assert await worker.ask({"bytes": 1_000_000}, LIMIT_S) == {"length": 1_000_000}
    with pytest.raises(Broken):
        await worker.ask({"bytes": 200_000_000}, LIMIT_S)


async def test_a_child_that_somebody_ended_costs_nobody_an_answer(worker: WorkerProcess) -> None:
    before = (await worker.ask({}, LIMIT_S))["pid"]
    os.kill(before, signal.SIGINT)
    os.kill(before, signal.SIGTERM)
    assert (await worker.ask({}, LIMIT_S))["pid"] == before
    psutil.Process(before).kill()
    while psutil.pid_exists(before):
        await asyncio.sleep(0.01)
    assert (await worker.ask({}, LIMIT_S))["pid"] != before


async def test_a_program_that_does_not_start() -> None:
    worker = WorkerProcess("tests.inference.no_such_module")
    for _ in range(2):
        with pytest.raises(OutOfCapacity):
            await worker.ask({}, LIMIT_S)
    await worker.stop()


async def test_stop_ends_a_busy_child() -> None:
    worker = WorkerProcess(MODULE)
    pid = (await worker.ask({}, LIMIT_S))["pid"]
    busy = asyncio.create_task(worker.ask({"sleep_s": 600}, 600))
    await asyncio.sleep(0.02)
    await worker.stop()
    assert not psutil.pid_exists(pid)
    with pytest.raises(Broken):
        await busy
    assert worker.pid is None


SERVER = """
import asyncio
from app.inference.constrained.worker import WorkerProcess

async def main():
    worker = WorkerProcess("tests.inference.obedient")
    print((await worker.ask({}, 10))["pid"], flush=True)
    await worker.ask({"sleep_s": 600}, 600)

asyncio.run(main())
"""


def test_it_does_not_outlive_a_killed_server() -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.wait()
    server.stdout.close()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.01)
