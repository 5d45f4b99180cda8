"""app/http/uvicorn_protocol.py and app/http/body.py: heads without end, senders without haste, bytes that are no HTTP."""

import asyncio
import json

import pytest

from app.engines.fake import FakeEngine
from app.http.framing import Head
from app.http.uvicorn_protocol import MAX_PIPELINED, GuardedProtocol
from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio


async def connect(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = served.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


def request(served: Served, body: bytes, length: int | None = None) -> bytes:
    """A whole request, or the beginning of one whose body should have `length` bytes."""
    head = (
        f"POST {served.path()} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
        f"content-length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


async def raw(served: Served, *pieces: bytes, wait_s: float = 5) -> bytes:
    """Send the pieces, then read until the server closes or says nothing more for `wait_s`."""
    reader, writer = await connect(served)
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(wait_s):
            answer = await reader.read()
    except (TimeoutError, ConnectionResetError, BrokenPipeError):
        pass
    finally:
        writer.close()
    return answer


def error_of(answer: bytes) -> tuple[int, int]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["errors"][0]["code"]


@pytest.mark.parametrize("newline", [b"", b"\r\n\r\n"])
async def test_a_head_over_the_limit(serve: Serve, newline: bytes) -> None:
    """Ended or not, in one piece or in many."""
    async with serve(limits={"max_header_bytes": 1000}) as served:
        head = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 2000 + newline
        assert error_of(await raw(served, head)) == (431, 7005)
        pieces = [head[at : at + 100] for at in range(0, len(head), 100)]
        assert error_of(await raw(served, *pieces)) == (431, 7005)
        many = b"".join(b"x-%d: y\r\n" % number for number in range(300))
        assert error_of(await raw(served, b"GET / HTTP/1.1\r\n" + many)) == (431, 7005)
        assert (await served.client.get("/health")).status_code == 200


async def test_a_long_url_counts_as_head(serve: Serve) -> None:
    async with serve(limits={"max_header_bytes": 1000}) as served:
        url = b"/" + b"a" * 2000
        assert error_of(await raw(served, b"GET " + url + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")) == (
            431,
            7005,
        )


async def test_a_large_body_in_the_first_packet_is_no_head(serve: Serve) -> None:
    async with serve(limits={"max_header_bytes": 1000}) as served:
        answer = await served.run({"prompt": "a " * 2000})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\x01", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 64]
)
async def test_bytes_that_are_no_http(serve: Serve, junk: bytes) -> None:
    async with serve() as served:
        answer = await raw(served, junk)
        assert error_of(answer) == (400, 7002)
        assert (await served.client.get("/health")).status_code == 200


@pytest.mark.parametrize("start", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nhost: loc"])
async def test_a_connection_that_says_nothing_is_closed(serve: Serve, start: bytes) -> None:
    async with serve(limits={"slow_sender_s": 0.2}) as served:
        reader, writer = await connect(served)
        writer.write(start)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_body_that_stops_coming_is_answered_and_closed(serve: Serve) -> None:
    async with serve(limits={"slow_sender_s": 0.2}) as served:
        assert error_of(await raw(served, request(served, b'{"prompt":', length=100))) == (408, 3007)


async def test_a_kept_connection_serves_many(serve: Serve) -> None:
    async with serve(limits={"slow_sender_s": 0.3}) as served:
        reader, writer = await connect(served)
        for _ in range(4):
            writer.write(request(served, b'{"prompt": "a"}'))
            async with asyncio.timeout(5):
                assert await reader.readuntil(b"[]}") != b""
            await asyncio.sleep(0.15)
        writer.close()


async def test_a_kept_connection_that_sends_line_breaks_only_is_closed(serve: Serve) -> None:
    async with serve() as served:
        reader, writer = await connect(served)
        writer.write(request(served, b'{"prompt": "a"}'))
        async with asyncio.timeout(5):
            await reader.readuntil(b"[]}")
            writer.write(b"\r\n")
            assert error_of(await reader.read()) == (400, 7002)
        writer.close()


async def test_bytes_after_the_body_do_not_end_a_running_answer(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.1)
    async with serve(engine, limits={"slow_sender_s": 0.2}) as served:
        reader, writer = await connect(served)
        writer.write(request(served, b'{"prompt": "a", "max_tokens": 8}') + b"\r\nPOST /")
        async with asyncio.timeout(10):
            answer = await reader.read()  # to the end: the unfinished second head is closed after the answer
        assert b'"completion_tokens":8' in answer
        assert not engine.aborted
        writer.close()


async def test_leaving_aborts_what_runs_behind_a_pipelined_request(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.02, endless=True)
    async with serve(engine) as served:
        for stream in (b"true", b"false"):
            _, writer = await connect(served)
            body = b'{"prompt": "a", "max_tokens": 4000, "stream": ' + stream + b"}"
            writer.write(request(served, body) + request(served, body))
            while not engine.running:
                await asyncio.sleep(0.005)
            writer.close()
            async with asyncio.timeout(5):
                while engine.running:
                    await asyncio.sleep(0.005)
        assert len(engine.aborted) == 2


async def test_a_body_nobody_waits_for_is_not_waited_for_long(serve: Serve) -> None:
    async with serve(limits={"slow_sender_s": 0.2}) as served:
        reader, writer = await connect(served)
        writer.write(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n1")
        async with asyncio.timeout(5):
            assert b"9106" in await reader.readuntil(b"}")
            writer.write(b"1")
            await reader.read()
        writer.close()


async def test_trailers_and_chunk_extensions_are_bounded_and_no_headers(serve: Serve) -> None:
    async with serve(limits={"max_header_bytes": 2000}) as served:
        head = (
            f"POST {served.path()} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
            "authorization: {}\r\n\r\n"
        )
        known, unknown = (head.format(f"Bearer {token}").encode() for token in (served.token, "x"))
        body = b'{"prompt": "a"}'
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n"
        assert b" 200 " in await first_answer(served, known + chunks + b"x: y\r\n\r\n")
        forged = b"authorization: Bearer " + served.token.encode() + b"\r\n\r\n"
        assert b"10000" in await first_answer(served, unknown + chunks + forged)
        endless = (b"x: " + b"y" * 100 + b"\r\n") * 100
        assert b" 200 " not in await raw(served, known + chunks, endless)
        extended = b"1;" + b"e" * 5000 + b"\r\na\r\n"
        assert b" 200 " not in await raw(served, known + extended)


async def first_answer(served: Served, whole: bytes) -> bytes:
    reader, writer = await connect(served)
    writer.write(whole)
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"}")
    writer.close()
    return answer


async def test_a_request_head_byte_by_byte(serve: Serve) -> None:
    async with serve() as served:
        head = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        answer = await raw(served, *(head[at : at + 1] for at in range(len(head))))
        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0, foo/2"])
async def test_an_upgrade_is_ignored_and_the_body_is_a_body(serve: Serve, upgrade: str) -> None:
    """A body behind `Upgrade` was read as the next request: a stranger's bytes as whoever came next."""
    async with serve() as served:
        inner = (
            f"POST {served.path()} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
        )
        stranger = (
            f"POST /nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: {upgrade}\r\n"
        )
        body = b'{"prompt": "a"}'
        smuggled = f"{inner}content-length: {len(body)}\r\n\r\n".encode() + body
        reader, writer = await connect(served)
        writer.write(f"{stranger}content-length: {len(smuggled)}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            assert b"9106" in await reader.readuntil(b"[]}\n")
            writer.write(smuggled)
            head = f"{inner}connection: upgrade, http2-settings\r\nupgrade: {upgrade}\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"[]}\n")
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" not in answer.lower()
            writer.write(request(served, body))
            assert (await reader.readuntil(b"[]}\n")).startswith(b"HTTP/1.1 200")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_http_1_0_gets_no_chunks(serve: Serve) -> None:
    async with serve() as served:
        old = request(served, b'{"prompt": "a", "stream": true}').replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        head, _, body = (await raw(served, old)).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert body.startswith(b"data: ")
        assert body.endswith(b"data: [DONE]\n\n")


async def test_requests_behind_those_that_may_wait_are_not_begun(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []
    begin = GuardedProtocol.begin_request

    def noted(self: GuardedProtocol, head: Head) -> None:
        begin(self, head)
        waiting.append(len(self.pipeline))

    monkeypatch.setattr(GuardedProtocol, "begin_request", noted)
    probe = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with_body = b"POST /playground/token HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"
    last = probe.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    async with serve() as served:
        for count in (1, MAX_PIPELINED + 1, 1000):
            for asked in (probe, with_body):
                assert (await raw(served, asked * count + last + probe)).count(b"HTTP/1.1 ") == count + 1
        refused = await raw(served, probe * 300 + b"junk\r\n\r\n")
        assert (refused.count(b" 200 OK"), refused.count(b" 400 Refused")) == (300, 1)
        reader, writer = await connect(served)
        writer.write(probe * 300)
        writer.write_eof()
        async with asyncio.timeout(5):
            assert (await reader.read()).count(b" 200 OK") == 300
        writer.close()
    assert max(waiting) == MAX_PIPELINED
