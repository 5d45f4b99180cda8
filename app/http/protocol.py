"""uvicorn's HTTP/1.1 protocol with the bounds it lacks: bytes that are no body, and patience with a sender.

httptools parses a head of any size (one connection with a 300 MB header held 440 MB), and trailers as well; a connection
that says nothing is kept for ever; and of several pipelined requests uvicorn tells only the newest when the client
leaves. All of that is put right here, before any application code.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import ApiError, HeadersTooLarge, MalformedHttp
from app.http.body import WHOLE_KEY
from app.http.connections import Connections
from app.http.disconnect import DEPARTURE_KEY, Departure
from app.http.envelope import failure
from app.http.sse import ABORT_KEY

MAX_PIPELINED = 128
"""Requests of one connection that wait for their turn: one packet of 256 kB could hold eight thousand."""
CHUNK_OVERHEAD_BYTES = 32  # a chunk's size line, and room for a short extension


class GuardedProtocol(HttpToolsProtocol):
    """Subclass it with these set: uvicorn makes one instance per connection and passes no arguments.

    `guard` has all connections of the server, and ends those that don't read their answers. `max_header_bytes` bounds
    what is no body: request line, headers, chunk sizes, trailers. `slow_sender_s` bounds the wait for a whole head, and
    for the rest of a body that was answered before it was read.
    """

    guard: Connections
    max_header_bytes = 65536
    slow_sender_s = 10.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._in_head = True  # from the first byte of a request to the end of its headers
        self._whole = True  # the last request has arrived to its last byte
        self._refused = False
        self._overhead_bytes = self._allowed_bytes = self._body_bytes = 0
        self._running: list[RequestResponseCycle] = []
        self._timer: asyncio.TimerHandle | None = None
        self._departure = Departure()
        self._expect_progress()
        if refusal := self.guard.admit(self):
            self._refuse(refusal)

    def expendable(self) -> bool:
        return not self._answering()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.leave(self)
        self._stop_timer()
        super().connection_lost(exc)
        self._departure.happen()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._body_bytes = 0
        self._completed = False
        super().data_received(data)
        if self._in_head and not self._completed and self._timer is None:
            self._expect_progress()
        self._overhead_bytes += len(data) - self._body_bytes
        if self._overhead_bytes > self.max_header_bytes + self._allowed_bytes:
            self._refuse(HeadersTooLarge(self.max_header_bytes))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._whole = True, False
        self._overhead_bytes = self._allowed_bytes = 0
        scope = cast(dict[str, Any], self.scope)
        scope[ABORT_KEY] = self.transport.abort
        scope[DEPARTURE_KEY] = self._departure
        scope[WHOLE_KEY] = self._is_whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.max_header_bytes:
            self._refuse(HeadersTooLarge(self.max_header_bytes))
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refused = True
            self.transport.abort()
        if self._refused:
            return
        # What came with the head in one packet is counted there once more: it is let through.
        self._allowed_bytes += size + len(self.headers) * CHUNK_OVERHEAD_BYTES
        super().on_headers_complete()
        self._running = [cycle for cycle in (*self._running, self.cycle) if not cycle.response_complete]

    def on_chunk_header(self) -> None:
        self._allowed_bytes += CHUNK_OVERHEAD_BYTES

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = self._whole = self._completed = True
        self._stop_timer()
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._whole and not self.transport.is_closing():
            self._expect_progress()  # answered before the body was read: its rest may not take for ever

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedHttp())

    def _is_whole(self) -> bool:
        return self._whole

    def _answering(self) -> bool:
        return any(not cycle.response_complete for cycle in self._running)

    def _refuse(self, error: ApiError) -> None:
        """Answer and close; where an answer is already under way, only close."""
        if self._refused:
            return
        self._refused = True
        if self._answering():
            self.transport.abort()
            return
        body = bytes(failure(error, "").body)
        lines = [
            f"HTTP/1.1 {error.status} Refused",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _expect_progress(self) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(self.slow_sender_s, self._overdue)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        """The sender did not go on. While an answer is under way what it says does not matter: look again later."""
        self._timer = None
        if self._answering():
            self._expect_progress()
        elif (self._in_head or not self._whole) and not self.transport.is_closing():
            self.transport.close()
