"""app/http/uvicorn_server.py: how a server ends while requests run."""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.engines.fake import FakeEngine
from app.settings import CHECKOUT
from tests.conftest import Serve

pytestmark = pytest.mark.anyio

ASK = {"prompt": "Say hello"}


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        await client.get(url)
    except httpx.ConnectError:
        return False
    return True


async def test_running_requests_finish_and_new_ones_are_refused(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.1)
    async with serve(engine, limits={"drain_s": 10}) as served:
        running = [
            asyncio.create_task(served.run({**ASK, "max_tokens": 8, "stream": stream}))
            for stream in (True, False)
        ]
        while len(engine.running) < 2:
            await asyncio.sleep(0.005)
        served.server.end()
        refused = await served.run(ASK)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
        assert "shutting down" in refused.text
        stream, unary = await asyncio.gather(*running)
        assert stream.text.endswith("data: [DONE]\n\n")
        assert unary.json()["result"]["usage"]["completion_tokens"] == 8
        assert not engine.aborted
        async with asyncio.timeout(10), httpx.AsyncClient() as stranger:
            while await answers(stranger, served.url + "/health"):
                await asyncio.sleep(0.05)


async def test_the_deadline_of_the_drain(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"drain_s": 1}) as served:
        running = asyncio.create_task(served.run({**ASK, "max_tokens": 4000, "stream": True}))
        while not engine.running:
            await asyncio.sleep(0.005)
        served.server.end()
        told = (await running).text.strip().split("\n\n")[-1]
        (error,) = json.loads(told.removeprefix("data: "))["errors"]
        assert error["code"] == 3040
        assert "The server was stopped" in error["message"]
        assert len(engine.aborted) == 1


async def test_a_second_signal_gives_up_the_running_ones(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"drain_s": 600}) as served:
        running = asyncio.create_task(served.run({**ASK, "max_tokens": 4000}))
        while not engine.running:
            await asyncio.sleep(0.005)
        served.server.end()
        served.server.end()
        answer = await running
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (429, 3040)
        assert "The server was stopped" in answer.text
        assert int(answer.headers["retry-after"]) > 0


async def test_a_grace_time_in_which_a_balancer_sees_it_and_everything_is_answered(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.02, endless=True)
    async with serve(engine, limits={"drain_s": 5}) as served:
        before = asyncio.create_task(served.run({**ASK, "max_tokens": 50}))
        while not engine.running:
            await asyncio.sleep(0.005)
        served.server.end(grace_s=0.5)
        assert (await served.client.get("/ready")).status_code == 503
        assert (await served.client.get("/health")).status_code == 200
        async with httpx.AsyncClient(base_url=served.url, headers=served.client.headers) as newcomer:
            answer = await newcomer.post(served.path(), json={**ASK, "max_tokens": 3})
            assert answer.status_code == 200
        assert not served.server.should_exit
        async with asyncio.timeout(10), httpx.AsyncClient() as stranger:
            while await answers(stranger, served.url + "/health"):
                await asyncio.sleep(0.05)
        assert (await before).status_code == 200
        assert not engine.aborted


async def test_a_second_signal_ends_the_grace_time_too(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"drain_s": 600}) as served:
        running = asyncio.create_task(served.run({**ASK, "max_tokens": 2000, "stream": True}))
        while not engine.running:
            await asyncio.sleep(0.005)
        served.server.end(grace_s=600)
        served.server.end()
        assert "The server was stopped" in (await running).text


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_what_is_still_finished_is_said(serve: Serve, count: int) -> None:
    said: list[str] = []
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"drain_s": 7.5}) as served:
        served.server._ending = replace(served.server._ending, report=said.append)
        running = [
            asyncio.create_task(served.run({**ASK, "max_tokens": 1000, "stream": number % 2 == 0}))
            for number in range(count)
        ]
        while len(engine.running) < count:
            await asyncio.sleep(0.005)
        served.server.end()
        ends = {
            0: [],
            1: ["finishing 1 request, at most 7.5 s; Ctrl-C again ends it"],
            3: ["finishing 3 requests, at most 7.5 s; Ctrl-C again ends them"],
        }
        assert said == ends[count]
        served.server.end()
        for answer in await asyncio.gather(*running):
            assert "The server was stopped" in answer.text


def test_the_last_descriptors_are_kept_for_answers(tmp_path: Path, times: Callable[[int], int]) -> None:
    """A real server that may open few files, and a stranger who opens more connections than it has."""
    descriptors = max(128, times(1024))
    log = tmp_path / "log"
    fake = str(CHECKOUT / "wrangler-like-config" / "fake-engine.toml")
    with log.open("w") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "app.server.process", "--config", fake],
            cwd=CHECKOUT,
            env={**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path), "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors)),  # noqa: PLW1509
        )
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split()[2]
        port = int(url.rpartition(":")[2])
        asked = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n" * 60
        with ExitStack() as clients:
            for _ in range(2 * descriptors):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
                client.setblocking(False)
                client.send(asked)
            for _ in range(20):
                assert httpx.get(url + "/health", timeout=10).status_code == 200
            assert len(list(Path(f"/proc/{server.pid}/fd").iterdir())) < descriptors - 16
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0
    assert len(log.read_text().splitlines()) < 10, log.read_text()
