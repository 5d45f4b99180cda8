"""limits.keep_alive_s: clients are told how long they may wait, and lose nothing when they wait that long."""

import asyncio
import json

import aiohttp
import pytest

from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

CLIENTS = 24


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


async def test_the_idle_time_is_told_and_kept(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.run({"prompt": "a"})
        assert answer.headers["keep-alive"] == "timeout=75"
        assert "connection" not in answer.headers
        closing = await served.run({"prompt": "a"}, headers={"connection": "close"})
        assert (closing.headers["connection"], "keep-alive" in closing.headers) == ("close", False)
        assert served.server.config.timeout_keep_alive > 75


async def test_a_client_at_the_edge_loses_no_request(serve: Serve) -> None:
    """Pools that use a connection for as long as the server says, and a little less, or more."""
    async with serve(limits={"keep_alive_s": 1}) as served:
        asked = [ask_twice(served, 0.97 + 0.06 * number / CLIENTS) for number in range(CLIENTS)]
        assert await asyncio.gather(*asked) == [[200, 200]] * CLIENTS


async def ask_twice(served: Served, pause_s: float) -> list[int]:
    """POSTs on one connection: no client repeats those by itself."""
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=10)
    headers = {"authorization": f"Bearer {served.token}"}
    statuses = []
    async with aiohttp.ClientSession(served.url, connector=connector, headers=headers) as session:
        for _ in range(2):
            async with session.post(served.path(), json={"prompt": "a", "max_tokens": 1}) as answer:
                assert json.loads(await answer.read())["success"]
                statuses.append(answer.status)
            await asyncio.sleep(pause_s if len(statuses) == 1 else 0)
    return statuses


async def test_an_unused_connection_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.http.uvicorn_server.KEEP_ALIVE_GRACE_S", 0.1)
    async with serve(limits={"keep_alive_s": 0.2}) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        for _ in range(3):
            writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"}\n")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
