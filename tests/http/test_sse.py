"""app/http/sse.py: silence, slow readers, errors after the first byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.engines.fake import FakeEngine
from app.errors import InternalError
from app.types import Delta
from tests.conftest import Serve

pytestmark = pytest.mark.anyio

ASK = {"prompt": "Say hello", "stream": True}


async def test_silence_is_filled_with_comments(serve: Serve) -> None:
    async with serve(FakeEngine(delay_s=0.3), limits={"ping_s": 0.05}) as served:
        answer = await served.run({**ASK, "max_tokens": 2})
        assert answer.text.count(": ping\n\n") >= 4
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_without_silence_there_is_no_comment(serve: Serve) -> None:
    async with serve(FakeEngine(delay_s=0.01), limits={"ping_s": 10}) as served:
        assert ": ping" not in (await served.run(ASK)).text


async def test_a_reader_that_stops_is_ended_and_holds_up_nobody(serve: Serve) -> None:
    engine = FakeEngine(answer="x" * 20_000, endless=True)
    async with serve(engine, limits={"slow_reader_s": 0.3}) as served:
        host, port = served.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        body = json.dumps({**ASK, "max_tokens": 4000}).encode()
        writer.write(
            f"POST {served.path()} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        while not engine.running:
            await asyncio.sleep(0.005)
        other = await served.run({**ASK, "max_tokens": 3})
        assert other.text.endswith("[DONE]\n\n")
        async with asyncio.timeout(10):
            while engine.running:
                await asyncio.sleep(0.01)
        assert len(engine.aborted) == 1
        async with asyncio.timeout(10):  # the connection is cut, not kept until its client reads on
            while len(served.server.server_state.connections) > 1:
                await asyncio.sleep(0.01)
        writer.close()


async def test_an_error_after_the_first_byte_is_the_last_event(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    whole = engine.generate

    async def breaks_off(*args: Any, **kwargs: Any) -> AsyncIterator[Delta]:
        async for delta in whole(*args, **kwargs):
            yield delta
            raise InternalError

    async with serve(engine) as served:
        monkeypatch.setattr(engine, "generate", breaks_off)
        answer = await served.run(ASK)
        events = answer.text.strip().split("\n\n")
        assert answer.status_code == 200
        assert json.loads(events[0].removeprefix("data: "))["response"] == "This"
        last = json.loads(events[-1].removeprefix("data: "))
        assert last["errors"][0]["code"] == 3043
        assert answer.headers["cf-ai-req-id"] in last["errors"][0]["message"]
        assert "[DONE]" not in answer.text
