"""app/http/body_room.py: bodies that never end, held within bounds and for a bounded time, and their memory's return."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from app.engines.fake import FakeEngine
from app.errors import OutOfCapacity
from app.http.body_room import BodyRoom
from app.settings import CHECKOUT
from tests.conftest import Serve
from tests.http.test_connections import connections
from tests.http.test_uvicorn_protocol import connect, request

pytestmark = pytest.mark.anyio

Times = Callable[[int], int]


def untrimmed() -> None: ...


async def test_bytes_are_counted_for_each_account_and_in_all() -> None:
    room = BodyRoom(100, 60, untrimmed)
    with room.of("a") as first, room.of("b") as second:
        first.grow(50)
        with pytest.raises(OutOfCapacity, match="60 bytes of request bodies of this account"):
            room.of("a").grow(20)
        second.grow(50)
        with pytest.raises(OutOfCapacity, match="100 bytes of request bodies are"):
            room.of("c").grow(1)
        first.release()
        with room.of("c") as third:
            third.grow(50)
            assert room.held_bytes == 100
    assert room.held_bytes == 0


async def test_memory_is_given_back_once_after_much_was_held() -> None:
    trims: list[int] = []
    room = BodyRoom(10**9, 10**9, lambda: trims.append(1), trim_after_s=0.02)
    for _ in range(5):
        with room.of("a") as held:
            held.grow(20_000_000)
    with room.of("a") as held:
        held.grow(1000)
    await asyncio.sleep(0.1)
    assert trims == [1]
    with room.of("a") as held:
        held.grow(1000)
    await asyncio.sleep(0.1)
    assert trims == [1]


async def test_bodies_that_never_end_take_no_more_than_the_account_s_share(
    serve: Serve, times: Times
) -> None:
    limits = {
        "max_body_bytes": 1_000_000,
        "max_bodies_bytes": 4_000_000,
        "max_account_bodies_bytes": 2_000_000,
    }
    async with serve(limits=limits) as served:
        piece = request(served, b'{"prompt": "' + b"x" * 400_000, length=900_000)
        held = served.app.room
        talks = [await connect(served) for _ in range(times(600))]
        answers = [asyncio.create_task(reader.read(20)) for reader, _ in talks]
        for _, writer in talks:
            writer.write(piece)
        async with asyncio.timeout(20):
            while sum(answer.done() for answer in answers) < len(talks) - 5:
                assert held.held_bytes <= 2_000_000
                await asyncio.sleep(0.01)
        assert {answer.result()[9:12] for answer in answers if answer.done()} == {b"429"}
        assert held.held_bytes >= 1_000_000
        _, other = served.stores.tokens.create("other", ["ai:read"])
        path = served.path(account="other")
        answer = await served.client.post(
            path, json={"prompt": "y" * 1000}, headers={"authorization": f"Bearer {other}"}
        )
        assert answer.status_code == 200
        for _, writer in talks:
            writer.close()
        async with asyncio.timeout(20):
            while held.held_bytes:
                await asyncio.sleep(0.01)
        assert (await served.run({"prompt": "a"})).status_code == 200


@pytest.mark.parametrize("route", ["ai/run", "ai/v1/chat/completions", "ai/v1/messages", "ai/finetunes"])
async def test_a_body_that_trickles_has_a_deadline(serve: Serve, route: str) -> None:
    async with serve(limits={"slow_sender_s": 5, "body_deadline_s": 0.5}) as served:
        reader, writer = await connect(served)
        head = request(served, b"", length=10_000).replace(
            served.path().encode(), f"/client/v4/accounts/local/{route}".encode()
        )
        writer.write(head)
        answer = asyncio.create_task(reader.read(20))
        async with asyncio.timeout(10):
            while not answer.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
        assert answer.result()[9:12] == b"408"
        writer.close()


async def test_what_is_answered_holds_no_body(serve: Serve) -> None:
    """The share is for bodies on their way: an answer that takes long keeps nobody from asking."""
    engine = FakeEngine(delay_s=0.02, endless=True)
    async with serve(engine) as served:
        asked = {"prompt": "a " * 1000, "max_tokens": 400}
        running = [asyncio.create_task(served.run({**asked, "stream": stream})) for stream in (True, False)]
        async with asyncio.timeout(10):
            while len(engine.running) < 2:
                await asyncio.sleep(0.005)
        assert served.app.room.held_bytes == 0
        for task in running:
            task.cancel()


async def test_a_body_that_nobody_reads_is_not_kept(serve: Serve) -> None:
    """Of a stranger: the answer goes out before the body is in."""
    async with serve() as served:
        reader, writer = await connect(served)
        head = request(served, b"x" * 200_000, length=300_000).replace(served.token.encode(), b"ow_x")
        writer.write(head)
        assert (await reader.read(20))[9:12] == b"401"
        await asyncio.sleep(0.1)
        peer = writer.get_extra_info("sockname")
        (connection,) = (c for c in connections(served) if c.client == peer)
        assert connection.cycle is not None
        assert len(connection.cycle.body) == 0
        writer.close()


def test_memory_goes_back_to_the_system(tmp_path: Path, times: Times) -> None:
    """The input that was seen: 150 connections with 9.9 MB each of one token, on a server of its own."""
    fake = str(CHECKOUT / "wrangler-like-config" / "fake-engine.toml")
    server = subprocess.Popen(
        [sys.executable, "-m", "app.server.process", "--config", fake],
        cwd=CHECKOUT,
        env={**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path), "PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split()[2]
        while httpx.get(url + "/ready").status_code != 200:
            pass
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        most = asyncio.run(
            flood(url, (tmp_path / "dev-token").read_text().strip(), max(30, times(150)), process)
        )
        assert most - before < 64_000_000 + 150_000_000
        settle(process, before + 60_000_000)
        assert httpx.get(url + "/ready").status_code == 200
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


async def flood(url: str, token: str, count: int, process: psutil.Process) -> int:
    """The most memory that the server had meanwhile, in bytes."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "x" * 9_900_000}).encode()
    head = (
        f"POST /client/v4/accounts/local/ai/run/@hf/mistral/mistral-7b-instruct-v0.2 HTTP/1.1\r\nhost: localhost\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(body) + 100}\r\n\r\n"
    ).encode()
    most = 0

    async def send() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(head + body)
            await asyncio.wait_for(writer.drain(), 20)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            await asyncio.sleep(1)
            writer.close()

    sending = [asyncio.create_task(send()) for _ in range(count)]
    while not all(task.done() for task in sending):
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.02)
    return most


def settle(process: psutil.Process, below_bytes: int) -> None:
    """Wait until it is so; 20 s are plenty."""
    for _ in range(200):
        if process.memory_info().rss < below_bytes:
            return
        psutil.wait_procs([process], timeout=0.1)
    raise AssertionError(f"{process.memory_info().rss:,} bytes after the flood, not below {below_bytes:,}")
