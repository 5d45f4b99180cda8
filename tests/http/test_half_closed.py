"""app/http/presence.py: a client that closed its half is answered, one that is gone is found out, a broken one told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import h11
import pytest

from app.engines.fake import FakeEngine
from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Two loops, and each has its own way with a connection whose one half is closed."""
    return "asyncio", {"use_uvloop": request.param}


def request(served: Served, version: str = "1.1", **more: object) -> bytes:
    body = json.dumps({"prompt": "a", "max_tokens": 8, **more}).encode()
    head = (
        f"POST {served.path()} HTTP/{version}\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = served.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def answers(served: Served, sent: bytes, methods: str = "POST") -> list[tuple[int, bytes]]:
    """Status and body of each answer to what is sent before the client closes its half, read by h11."""
    reader, writer = await connect(served)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(10):
        found = _read(await reader.read(), methods)
    writer.close()
    return found


def _read(data: bytes, methods: str) -> list[tuple[int, bytes]]:
    client = h11.Connection(h11.CLIENT)
    client.receive_data(data)
    client.receive_data(b"")
    found = []
    for method in methods.split():
        client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        status, body = 0, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            assert isinstance(event, h11.Response | h11.Data), event
            if isinstance(event, h11.Response):
                status = event.status_code
            else:
                body += event.data
        found.append((status, body))
        if client.our_state is not h11.MUST_CLOSE:
            client.start_next_cycle()
    assert client.trailing_data[0] == b""
    return found


@pytest.fixture
async def slow(serve: Serve) -> AsyncIterator[Served]:
    """A quarter of a second for an answer."""
    async with serve(FakeEngine(delay_s=0.03)) as served:
        yield served


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_whole_request_is_answered(slow: Served, version: str) -> None:
    ((status, body),) = await answers(slow, request(slow, version))
    assert (status, json.loads(body)["result"]["usage"]["completion_tokens"]) == (200, 8)
    assert not slow.engine.aborted


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_stream_is_answered_to_its_end(slow: Served, version: str) -> None:
    ((status, body),) = await answers(slow, request(slow, version, stream=True))
    assert (status, body[-14:]) == (200, b"data: [DONE]\n\n")
    events = [line for line in body.decode().split("\n\n") if line]
    assert {event[:6] for event in events} == {"data: ", ":"}  # comments are what it is asked with
    assert not slow.engine.aborted


async def test_all_of_several_are_answered_in_their_order(slow: Served) -> None:
    sent = request(slow) + b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n" + request(slow, stream=True)
    first, second, third = await answers(slow, sent, "POST GET POST")
    assert (first[0], json.loads(second[1]), third[1][-14:]) == (200, {"status": "ok"}, b"data: [DONE]\n\n")


async def test_an_open_route_and_an_error_are_answered(slow: Served) -> None:
    get = b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert [status for status, _ in await answers(slow, get % b"/health", "GET")] == [200]
    assert [status for status, _ in await answers(slow, get % b"/nowhere", "GET")] == [400]


@pytest.mark.parametrize("stream", [False, True])
async def test_one_who_is_gone_is_found_out(serve: Serve, stream: bool, times: Callable[[int], int]) -> None:
    """A closed socket looks like a half-closed one, until something is written."""
    engine = FakeEngine(delay_s=0.01, endless=True)
    slowest_s = 0.0
    async with serve(engine) as served:
        for count in range(1, times(400) + 1):
            _, writer = await connect(served)
            writer.write(request(served, max_tokens=4000, stream=stream))
            while not engine.running:
                await asyncio.sleep(0.001)
            writer.transport.abort() if count % 2 else writer.close()
            left = time.perf_counter()
            async with asyncio.timeout(5):
                while engine.running:
                    await asyncio.sleep(0.001)
            writer.close()
            slowest_s = max(slowest_s, time.perf_counter() - left)
            assert len(engine.aborted) == count
    print(f"slowest of {count} aborts: {slowest_s * 1000:.1f} ms")


async def test_one_who_is_gone_before_the_first_token_is_found_out(serve: Serve) -> None:
    engine = FakeEngine(delay_s=600, endless=True)
    async with serve(engine) as served:
        for stream in (False, True):
            _, writer = await connect(served)
            writer.write(request(served, stream=stream))
            while not engine.running:
                await asyncio.sleep(0.001)
            writer.close()
            async with asyncio.timeout(5):
                while engine.running:
                    await asyncio.sleep(0.001)


HEAD = b"POST /client/v4/accounts/local/ai/run/@hf/mistral/mistral-7b-instruct-v0.2 HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"

BROKEN = {
    "size zz": (CHUNKED + b"zz\r\n", 400),
    "negative size": (CHUNKED + b"-1\r\n", 400),
    "size with 0x": (CHUNKED + b"0x3\r\nabc\r\n", 400),
    "size too large": (CHUNKED + b"F" * 17 + b"\r\n", 400),
    "no size": (CHUNKED + b"\r\n", 400),
    "data longer than its size": (CHUNKED + b"1\r\nabc\r\n", 400),
    "line feed alone": (CHUNKED + b"3\nabc\r\n", 400),
    "later chunk": (CHUNKED + b"1\r\n{\r\nzz\r\n", 400),
    "broken trailer": (CHUNKED + b"0\r\nx y\r\n\r\n", 400),
    "trailers without end": (CHUNKED + b"0\r\n" + b"x: y\r\n" * 20_000, 431),
    "an extension without end": (CHUNKED + b"1;" + b"e" * 100_000, 431),
    "length and chunks": (b"content-length: 3\r\n" + CHUNKED + b"0\r\n\r\n", 400),
    "length twice": (b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "signed length": (b"content-length: +3\r\n\r\nabc", 400),
    "gzip": (b"transfer-encoding: gzip\r\n\r\n", 501),
    "gzip, chunked": (b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (b"transfer-encoding: identity\r\n\r\n", 501),
    "chunked twice": (b"transfer-encoding: chunked\r\n" + CHUNKED + b"0\r\n\r\n", 501),
    "a folded header": (b"x: a\r\n b\r\n\r\n", 400),
    "a header without colon": (b"x\r\n\r\n", 400),
    "two hosts": (b"host: localhost\r\n\r\n", 400),
    "a line feed in the head": (b"x: a\nhost: b", 400),
    "a head too large": (b"x: " + b"y" * 70_000, 431),
}


@pytest.mark.parametrize("token", [True, False], ids=["token", "stranger"])
async def test_a_broken_message_is_told_and_closed(serve: Serve, token: bool) -> None:
    """In one packet or two, alone or behind a request that is still being answered."""
    async with serve(FakeEngine(delay_s=0.002)) as served:
        head = HEAD + (f"authorization: Bearer {served.token}\r\n".encode() if token else b"")
        for name, (broken, status) in BROKEN.items():
            for before, methods in ((b"", "POST"), (request(served), "POST POST")):
                for pieces in ([before + head + broken], [before + head + broken[:-5], broken[-5:]]):
                    found = await _told(served, pieces, methods)
                    # A stranger may have been told before the body broke.
                    assert found[-1][0] == status or (not token and found[-1][0] == 400), name
                    assert json.loads(found[-1][1])["success"] is False


async def _told(served: Served, pieces: list[bytes], methods: str) -> list[tuple[int, bytes]]:
    """The answers to the pieces, until the server closes."""
    reader, writer = await connect(served)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.002)
    async with asyncio.timeout(5):
        found = _read(await reader.read(), methods)
    writer.close()
    return found


@pytest.mark.parametrize("cut", [1, 30, -1])
async def test_a_request_cut_short_is_told(slow: Served, cut: int) -> None:
    """By a client that closes its half in the middle of it."""
    ((status, body),) = await answers(slow, request(slow)[:cut])
    assert (status, json.loads(body)["errors"][0]["code"]) == (400, 7002)
    first, second = await answers(slow, request(slow) + request(slow)[:cut], "POST POST")
    assert (first[0], second[0]) == (200, 400)


async def test_a_connection_without_a_request_is_closed(slow: Served) -> None:
    reader, writer = await connect(slow)
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert (await slow.client.get("/health")).status_code == 200
