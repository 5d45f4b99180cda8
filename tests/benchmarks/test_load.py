"""The benchmarks' client: it counts what was delivered, so it must read answers whole and refuse all others."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.errors import BenchError
from benchmarks.load import HOST, closed_loop, post
from benchmarks.processes import free_port

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n%04d"
PIECES = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
    b"c\r\n2\r\n%02d\r\n0\r",
    b"\n\r\n",
)


class Peer(asyncio.Protocol):
    """Numbers the requests of its connection and answers in pieces that cut chunks and lines."""

    pieces: tuple[bytes, ...] = (PLAIN,)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen = 0

    def data_received(self, data: bytes) -> None:
        self.seen += 1
        self.task = asyncio.ensure_future(self.answer())

    async def answer(self) -> None:
        for piece in self.pieces:
            self.transport.write(piece % self.seen if b"%" in piece else piece)  # type: ignore[attr-defined]
            await asyncio.sleep(0.002)
        if not self.pieces:
            self.transport.close()


@contextmanager
def peer(*pieces: bytes) -> Iterator[int]:
    """A server in a thread; its port."""

    class Chosen(Peer):
        pass

    Chosen.pieces = pieces
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Chosen, HOST, 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def test_each_client_keeps_its_connection_and_sends_its_rounds() -> None:
    with peer(PLAIN) as port:
        load = closed_loop(port, [post("/", {})], clients=3, rounds=2)
    assert sorted(answer.body for answer in load.answers) == [
        b"0001",
        b"0001",
        b"0001",
        b"0002",
        b"0002",
        b"0002",
    ]


def test_a_stream_is_read_to_its_end_across_reads() -> None:
    with peer(*PIECES) as port:
        load = closed_loop(port, [post("/", {})], clients=1, rounds=2)
    assert [answer.body for answer in load.answers] == [b"abc01", b"abc02"]


def test_another_status_is_an_error_with_its_text() -> None:
    with (
        peer(b"HTTP/1.1 429 Busy\r\ncontent-length: 4\r\n\r\nfull") as port,
        pytest.raises(BenchError, match="answered 429: full"),
    ):
        closed_loop(port, [post("/", {})], clients=1, rounds=1)


def test_a_closed_connection_is_an_error() -> None:
    with peer() as port, pytest.raises(BenchError, match="closed the connection"):
        closed_loop(port, [post("/", {})], clients=1, rounds=1)


def test_nobody_listens() -> None:
    with pytest.raises(BenchError, match="no connection"):
        closed_loop(free_port(), [post("/", {})], clients=1, rounds=1)


def test_a_request_has_its_length_and_token() -> None:
    assert post("/run", {"a": 1}, "secret").endswith(
        b'content-length: 7\r\nauthorization: Bearer secret\r\n\r\n{"a":1}'
    )
