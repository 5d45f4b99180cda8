"""No stranger causes a line in the log: what he sends, and how he leaves, is nobody's fault but his."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

GET = b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n"
UPLOAD = b"POST /client/v4/accounts/local/ai/finetunes/a/finetune-assets HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
SAYINGS = {
    "the page": GET % b"/" * 20,
    "its files": GET % b"/playground/app.js" * 20,
    "no route": GET % b"/nowhere" * 20,
    "a strange path": GET % b"/%ff%00/..%2f../%" * 20,
    "a foreign host": b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n" * 20,
    "an upgrade": b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    * 20,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01" * 20,
    "half a head": b"GET / HTTP/1.1\r\nhost: lo",
    "a head without end": b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000,
    "half a body": UPLOAD + b"content-length: 1000\r\n\r\nabc",
    "a broken chunk": CHUNKED + b"zz\r\n",
    "chunks, broken later": CHUNKED + b"1\r\na\r\n" * 1000 + b"zz\r\n",
    "a gzip body": UPLOAD + b"transfer-encoding: gzip\r\n\r\nabc",
    "a wrong token": UPLOAD + b"authorization: Bearer nobody's\r\ncontent-length: 3\r\n\r\nabc",
    "nothing": b"",
}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop of `outworker serve`: writing to what is closed is an error there."""
    return "asyncio", {"use_uvloop": True}


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def leave(connection: socket.socket) -> None: ...


@pytest.mark.parametrize("saying", SAYINGS)
async def test_no_line_in_the_log(
    serve: Serve, saying: str, caplog: pytest.LogCaptureFixture, times: Callable[[int], int]
) -> None:
    """Whether he closes, resets, or closes his half and then goes, at once or while he is answered."""
    unhandled: list[object] = []
    async with serve() as served:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        caplog.set_level(logging.INFO)
        caplog.clear()
        for _ in range(times(40)):
            for end in (leave, reset, half_close):
                for pause_s in (0, 0.002, 0.02):
                    await visit(served, SAYINGS[saying], end, pause_s)
        assert (await served.client.get("/health")).status_code == 200
        lines = [record for record in caplog.records if record.name.partition(".")[0] != "httpx"]
        assert (lines, unhandled) == ([], [])


async def visit(served: Served, saying: bytes, end: Callable[[socket.socket], None], pause_s: float) -> None:
    """Says it and goes without having read a byte."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.send(saying)
        await asyncio.sleep(pause_s)
        with suppress(OSError):  # refused and closed already
            end(connection)
        await asyncio.sleep(pause_s)
