"""app/listening.py: how a server ends while requests run."""

import asyncio
import json

import httpx
import pytest

from app.engines.fake import FakeEngine
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
        assert json.loads(told.removeprefix("data: "))["errors"][0]["code"] == 3008
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
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (408, 3008)
