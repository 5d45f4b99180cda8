"""The client: keep-alive connections in a closed loop, one request at a time on each, nothing pipelined.

Small on purpose: on a machine of few cores a client's own work is taken from the server it measures.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httptools
import orjson
import uvloop

from benchmarks.errors import BenchError

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is the whole body, an event stream's too; `arrivals` are the seconds from the request to each piece of
    it, and the length of the body with that piece.
    """

    status: int
    body: bytes
    arrivals: Sequence[tuple[float, int]] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """`seconds` run from the first request sent to the last byte of the last answer, connecting excluded."""

    seconds: float
    answers: list[Answer]


def post(path: str, body: Mapping[str, Any], token: str = "") -> bytes:
    """A whole HTTP/1.1 request."""
    content = orjson.dumps(body)
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {HOST}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        *([f"authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def closed_loop(port: int, requests: Sequence[bytes], *, clients: int, rounds: int) -> Load:
    """`clients` connections send `rounds` requests each, in turn from `requests`. Raises BenchError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_closed_loop(port, requests, clients, rounds))


async def _closed_loop(port: int, requests: Sequence[bytes], clients: int, rounds: int) -> Load:
    loop = asyncio.get_running_loop()
    try:
        made = [await loop.create_connection(Connection, HOST, port) for _ in range(clients)]
    except OSError as error:
        raise BenchError(f"no connection to port {port}: {error}") from None
    connections = [connection for _, connection in made]
    loops = [
        _client(connection, requests, index, clients, rounds) for index, connection in enumerate(connections)
    ]
    began = time.perf_counter()
    try:
        answers = await asyncio.gather(*loops)
        return Load(time.perf_counter() - began, [answer for several in answers for answer in several])
    finally:
        for connection in connections:
            connection.close()


async def _client(
    connection: "Connection", requests: Sequence[bytes], index: int, clients: int, rounds: int
) -> list[Answer]:
    answers = []
    for turn in range(rounds):
        answer = await connection.exchange(requests[(turn * clients + index) % len(requests)])
        if answer.status != 200:
            raise BenchError(f"answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
        answers.append(answer)
    return answers


class Connection(asyncio.Protocol):
    """One keep-alive connection; `exchange` sends a request and waits for the whole answer."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._arrivals: list[tuple[float, int]] = []
        self._length = 0
        self._sent_s = 0.0
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: Any) -> None:  # uvloop's transports are no asyncio.Transport
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError(f"the server closed the connection: {exc or 'no answer'}"))

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._length += len(body)
        self._arrivals.append((time.perf_counter() - self._sent_s, self._length))

    def on_message_complete(self) -> None:
        answer = Answer(self._parser.get_status_code(), b"".join(self._chunks), self._arrivals)
        self._chunks, self._arrivals, self._length = [], [], 0
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def exchange(self, request: bytes) -> Answer:
        self._answer = asyncio.get_running_loop().create_future()
        self._sent_s = time.perf_counter()
        self._transport.write(request)
        try:
            return await asyncio.wait_for(self._answer, ANSWER_TIMEOUT_S)
        except TimeoutError:
            raise BenchError(f"no whole answer after {ANSWER_TIMEOUT_S:.0f} s") from None

    def close(self) -> None:
        self._transport.close()
