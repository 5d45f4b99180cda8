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
async def helper() -> AsyncIterator[WorkerProcess]:
    helper = WorkerProcess(MODULE, lambda: ("a", "b"))
    yield helper
    await helper.stop()
    assert helper.pid is None


async def test_it_starts_at_need_and_stays(helper: WorkerProcess, capfd: pytest.CaptureFixture[str]) -> None:
    assert helper.pid is None
    first = await helper.ask({"echo": "é\n"}, LIMIT_S)
    assert first == {"pid": helper.pid, "echo": "é\n", "arguments": ["a", "b"]}
    assert await helper.ask({"echo": 1}, LIMIT_S) == {**first, "echo": 1}
    assert capfd.readouterr() == ("", "")


async def test_too_slow(helper: WorkerProcess) -> None:
    before = (await helper.ask({}, LIMIT_S))["pid"]
    with pytest.raises(TooSlow):
        await helper.ask({"sleep_s": 600}, 0.05)
    assert not psutil.pid_exists(before)
    after = await helper.ask({"echo": 2}, LIMIT_S)
    assert (after["echo"], after["pid"] != before) == (2, True)


async def test_the_child_ends_over_a_job(helper: WorkerProcess) -> None:
    with pytest.raises(Broken):
        await helper.ask({"end": True}, LIMIT_S)
    assert (await helper.ask({"echo": 3}, LIMIT_S))["echo"] == 3


async def test_memory_is_bounded(helper: WorkerProcess) -> None:
    assert await helper.ask({"bytes": 1_000_000}, LIMIT_S) == {"length": 1_000_000}
    with pytest.raises(Broken):
        await helper.ask({"bytes": 200_000_000}, LIMIT_S)


async def test_a_child_that_somebody_ended_costs_nobody_an_answer(helper: WorkerProcess) -> None:
    before = (await helper.ask({}, LIMIT_S))["pid"]
    os.kill(before, signal.SIGINT)
    os.kill(before, signal.SIGTERM)
    assert (await helper.ask({}, LIMIT_S))["pid"] == before
    psutil.Process(before).kill()
    while psutil.pid_exists(before):
        await asyncio.sleep(0.01)
    assert (await helper.ask({}, LIMIT_S))["pid"] != before


async def test_one_who_leaves_takes_nobodys_answer(helper: WorkerProcess) -> None:
    await helper.ask({}, LIMIT_S)
    leaving = asyncio.create_task(helper.ask({"echo": "left", "sleep_s": 0.1}, LIMIT_S))
    await asyncio.sleep(0.02)
    leaving.cancel()
    answers = await asyncio.gather(*(helper.ask({"echo": number}, LIMIT_S) for number in range(5)))
    assert [answer["echo"] for answer in answers] == list(range(5))


async def test_a_program_that_does_not_start() -> None:
    helper = WorkerProcess("tests.inference.no_such_module")
    for _ in range(2):
        with pytest.raises(OutOfCapacity):
            await helper.ask({}, LIMIT_S)
    await helper.stop()


async def test_stop_ends_a_busy_child() -> None:
    helper = WorkerProcess(MODULE)
    pid = (await helper.ask({}, LIMIT_S))["pid"]
    busy = asyncio.create_task(helper.ask({"sleep_s": 600}, 600))
    await asyncio.sleep(0.02)
    await helper.stop()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert not psutil.pid_exists(pid)


SERVER = """
import asyncio
from app.inference.constrained.worker import Helper

async def main():
    helper = Helper("tests.inference.obedient")
    print((await helper.ask({}, 10))["pid"], flush=True)
    await helper.ask({"sleep_s": 600}, 600)

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
