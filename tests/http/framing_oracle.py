"""Two readings of the same bytes: h11's, and that of our connection in memory, with an application that listens."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import h11
import uvicorn
from uvicorn.server import ServerState

from app.http.connections import ConnectionLimits, Connections
from app.http.uvicorn_protocol import GuardedProtocol

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Heard:
    """One request as somebody read it; `body` is None where it never ended."""

    method: bytes
    target: bytes
    fields: Fields
    body: bytes | None


@dataclass
class Reading:
    """`refused` is the status that ended it, `closed` whether what came after was nobody's."""

    requests: list[Heard] = field(default_factory=list)
    refused: int | None = None
    closed: bool = False


def by_h11(data: bytes) -> Reading:
    """Every request that h11 sees, answered at once, as a server does."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    reading = Reading()
    try:
        while not reading.closed and _next_request(connection, reading):
            connection.send(h11.Response(status_code=404, headers=[(b"content-length", b"0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                reading.closed = True
            else:
                connection.start_next_cycle()
    except h11.RemoteProtocolError as error:
        reading.refused = error.error_status_hint
    return reading


def _next_request(connection: h11.Connection, reading: Reading) -> bool:
    """False where the bytes end before it does. Appended as soon as its head is read."""
    body = b""
    head: h11.Request | None = None
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head = event
            reading.requests.append(_heard(head, None))
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            reading.requests[-1] = _heard(head, body)
            return True
        else:
            return False


def _heard(head: h11.Request, body: bytes | None) -> Heard:
    target = bytes(head.target)
    if target.lower().startswith(b"http://"):
        target = b"/" + target[len(b"http://") :].partition(b"/")[2]
    return Heard(bytes(head.method), target, _fields(head.headers), body)


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """h11 writes `chunked` in lower case, and so do we here."""
    return tuple(
        (bytes(name), bytes(value).lower() if name == b"transfer-encoding" else bytes(value))
        for name, value in headers
    )


class Wire(asyncio.Transport):
    """A connection's other end: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Listener:
    """Our connection in memory. One `Listener` reads many connections, one after the other."""

    def __init__(self) -> None:
        self._config = uvicorn.Config(self._answer, log_config=None, lifespan="off", interface="asgi3")
        self._config.load()
        self._state = ServerState()

        class Unbounded(GuardedProtocol):
            guard = Connections(ConnectionLimits(1000, 1000, 1_000_000, 60))

        self._protocol = Unbounded
        self._reading = Reading()

    async def read(self, pieces: Iterable[bytes], at_once: bool = False) -> Reading:
        """The pieces as packets. The application runs between them unless they come `at_once`."""
        self._reading = reading = Reading()
        protocol, wire = self._protocol(self._config, self._state, {}), Wire()
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.closing:
                protocol.data_received(piece)
                if not at_once:
                    await self._settle()
        await self._settle()
        for status in re.findall(rb"HTTP/1\.1 (\d+) Refused\r\n", wire.written):
            assert reading.refused is None
            assert json.loads(wire.written.rpartition(b"\r\n\r\n")[2])["success"] is False
            reading.refused = int(status)
        reading.closed = wire.closing
        protocol.connection_lost(None)
        await self._settle()
        return reading

    async def _settle(self) -> None:
        await asyncio.sleep(0)
        while self._state.tasks:
            before = len(self._reading.requests)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if len(self._reading.requests) == before:
                break

    async def _answer(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        head = (scope["method"].encode(), target, _fields(scope["headers"]))
        requests = self._reading.requests
        at = len(requests)
        requests.append(Heard(*head, None))
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        requests[at] = Heard(*head, body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
