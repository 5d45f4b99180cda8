"""uvicorn's HTTP/1.1 protocol with the bounds it lacks: bytes of a request head, and patience for one.

httptools parses a head of any size (one connection with a 300 MB header held 440 MB); and a connection that says
nothing is kept for ever. Both end here, before any application code.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import ApiError, HeadersTooLarge, MalformedHttp
from app.http.envelope import failure
from app.http.sse import ABORT_KEY


class GuardedProtocol(HttpToolsProtocol):
    """Subclass it with the two limits set: uvicorn makes one instance per connection and passes no arguments."""

    max_header_bytes = 65536
    slow_sender_s = 10.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._in_head = True
        self._head_bytes = 0
        self._refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_timer is None:
                self._start_head_timer()
        super().data_received(data)
        if self._in_head and self._head_bytes > self.max_header_bytes:
            self._refuse(HeadersTooLarge(self.max_header_bytes))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[ABORT_KEY] = self.transport.abort

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_head_timer()
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.max_header_bytes:
            self._refuse(HeadersTooLarge(self.max_header_bytes))
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refuse(MalformedHttp())

    def _refuse(self, error: ApiError) -> None:
        self._refused = True
        response = failure(error, "")
        body = bytes(response.body)
        lines = [
            f"HTTP/1.1 {error.status} Refused",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(self.slow_sender_s, self._head_overdue)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_overdue(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self.transport.close()
