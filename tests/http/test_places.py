"""A request has its place before its body is read: a full server refuses at once, and holds as many bodies as places."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from app.engines.fake import FakeEngine
from tests.conftest import HF, Serve, Served

pytestmark = pytest.mark.anyio

PLACES = 4
WAVE = 125
BODY_BYTES = 60_000
ACCOUNT = "/client/v4/accounts/local/ai"
TEXT = "x" * BODY_BYTES
BODIES = {
    f"{ACCOUNT}/run/{HF}": {"prompt": "Hello", "padding": TEXT},
    f"{ACCOUNT}/run": {"model": HF, "input": {"prompt": "Hello", "padding": TEXT}},
    f"{ACCOUNT}/v1/chat/completions": {
        "model": HF,
        "messages": [{"role": "user", "content": "Hello"}],
        "metadata": {"a": TEXT[:500]},
        "user": TEXT,
    },
    f"{ACCOUNT}/v1/messages/count_tokens": {
        "model": HF,
        "messages": [{"role": "user", "content": "Hello"}],
        "system": [{"type": "text", "text": "Hello"}] * 20,
    },
}


@dataclass
class Caller:
    """Has sent half of a body."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    rest: bytes

    @classmethod
    async def begin(cls, served: Served, path: str) -> "Caller":
        body = json.dumps(BODIES[path]).encode()
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {served.token}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body[: len(body) // 2])
        await writer.drain()
        return cls(reader, writer, body[len(body) // 2 :])

    async def answer(self) -> tuple[int, str]:
        """Status and body, to the connection's end or as long as they say."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        text = (await self.reader.readexactly(length)).decode()
        self.writer.close()
        return int(head.split()[1]), text


async def refused(served: Served, path: str) -> None:
    status, text = await (await Caller.begin(served, path)).answer()
    assert (status, "3040" in text, f"{PLACES} requests are waiting" in text) == (429, True, True), text


@pytest.mark.parametrize("path", BODIES)
async def test_all_but_as_many_as_have_places_are_refused_before_their_bodies_are_read(
    path: str, serve: Serve, times: Callable[[int], int]
) -> None:
    """Ten thousand callers in a soak."""
    async with serve(limits={"max_waiting_requests": PLACES}) as served:
        (pipeline,) = served.app.pipelines
        held = [await Caller.begin(served, path) for _ in range(PLACES)]
        while pipeline.admission.requests < PLACES:
            await asyncio.sleep(0.001)
        for _ in range(0, times(10_000), WAVE):
            await asyncio.gather(*(refused(served, path) for _ in range(WAVE)))
            assert pipeline.admission.requests == PLACES
            assert served.app.room.held_bytes <= PLACES * 2 * BODY_BYTES
        for caller in held:
            caller.writer.write(caller.rest)
        assert [status for status, _ in [await caller.answer() for caller in held]] == [200] * PLACES
        assert (pipeline.admission.requests, pipeline.admission.tokens) == (0, 0)
        assert served.app.room.held_bytes == 0


async def test_a_place_is_free_again_however_its_request_ends(serve: Serve) -> None:
    path = f"{ACCOUNT}/run/{HF}"
    async with serve(FakeEngine(delay_s=30), limits={"max_waiting_requests": 1}) as served:
        (pipeline,) = served.app.pipelines

        async def free() -> None:
            while pipeline.admission.requests:
                await asyncio.sleep(0.001)
            assert pipeline.admission.tokens == 0

        left = await Caller.begin(served, path)
        while not pipeline.admission.requests:
            await asyncio.sleep(0.001)
        left.writer.close()  # in the middle of its body
        await free()
        for wrong in ("{", "[]", '{"prompt": 5}', '{"prompt": "a", "lora": "none"}'):
            answer = await served.client.post(path, content=wrong)
            assert answer.status_code in (400, 404)
            await free()
        for stream in (False, True):
            waiting = asyncio.create_task(served.run({"prompt": "a", "stream": stream}))
            while not served.engine.running:
                await asyncio.sleep(0.001)
            assert (await served.run({"prompt": "b"})).status_code == 429
            waiting.cancel()
            await free()
