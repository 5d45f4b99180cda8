"""uvicorn's HTTP/1.1 connection with our framing, our bounds and our patience.

uvicorn's own reading bounds no head and no trailer, takes a body behind `Upgrade` for the next request, keeps a
connection that says nothing for ever, and of several pipelined requests tells only the newest when the client leaves.
All of that is put right here, before any application code: `app.http.framing` reads, this class answers.
"""

import asyncio
import re
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import ApiError, MalformedHttp
from app.http.connection import CONNECTION_KEY, Connection, ConnectionClosed, connection_of
from app.http.connections import Connections
from app.http.cycle import OldCycle
from app.http.error_paths import failure_at
from app.http.framing import Head, RequestReader
from app.http.names import ENCODED_SLASH
from app.http.presence import Presence

MAX_PIPELINED = 16
"""Requests that may wait on a connection for the answer before theirs; what is behind them is not read."""

LINGER_S = 1.0
"""How long a refused sender is still listened to: closed at once it would see a reset instead of the answer."""


class HeldFlow(FlowControl):
    """Does not read while it is `held`, though uvicorn resumes with each answer and each wait for a body."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class GuardedProtocol(HttpToolsProtocol):
    """Subclass it with these set: uvicorn makes one instance per connection and passes no arguments.

    `guard` has all connections of the server, and ends those that don't read their answers. `max_header_bytes` bounds
    what is no body: request line, headers, chunk sizes, trailers. `slow_sender_s` bounds the wait for a whole head, and
    for the rest of a body that was answered before it was read. `keep_alive_field` is what clients are told.
    """

    guard: Connections
    max_header_bytes = 65536
    slow_sender_s = 10.0
    keep_alive_field = (b"keep-alive", b"timeout=75")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow: HeldFlow = HeldFlow(transport)
        self._reader = RequestReader(self, self.max_header_bytes)
        self._unread = b""  # requests behind those that may wait
        self._ended = False  # the client has closed its half behind them
        self._refusal: ApiError | None = None
        self._running: list[RequestResponseCycle] = []  # begun or waiting for their turn, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = ConnectionClosed()
        self._presence: Presence | None = None  # once the client has closed its half
        self.used_at = self.loop.time()
        self._expect_progress()
        if refusal := self.guard.admit(self):
            self._refuse(refusal)
            self.transport.close()  # without lingering: there is no room for it

    def expendable(self) -> bool:
        """Whether nothing is being answered here to somebody with a token."""
        return not any(_connection(cycle).kept for cycle in self._running if not cycle.response_complete)

    def cut(self) -> None:
        """End it at once, whatever still waits to be written."""
        for cycle in self._running:
            _give_up(cycle)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guard.leave(self)
        self._stop_timer()
        if self._presence is not None:
            self._presence.stop()
        for cycle in self._running:
            _give_up(cycle)
        super().connection_lost(exc)
        self._closed.happen()

    # What the client sends

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None or self._reader.closed:
            return  # nobody's: the last request has come
        self._unset_keepalive_if_required()
        self._feed(self._unread + data)

    def _feed(self, data: bytes) -> None:
        answered = self.cycle
        try:
            self._unread, refusal = self._reader.feed(data), None
        except ApiError as error:
            self._unread, refusal = b"", error
        self.flow.held = bool(self._unread)
        if refusal is not None:
            self._refuse(refusal)
            return
        if self.is_full():
            self.flow.pause_reading()
        unfinished = self._reader.in_message or self.cycle is answered
        if unfinished and not self._reader.in_body and self._timer is None:
            self._expect_progress()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client says nothing more: what it asked in full is answered, if it is still there. True: not yet closed."""
        if self._unread:
            self._ended = True  # looked at again when that is read
            return True
        if self._refusal is None and self._reader.in_message:
            self._refuse(MalformedHttp("the connection was closed before the request's end"))
        self._reader.closed = True
        if not self._answering():
            return False
        if self._presence is None:
            self._running[-1].keep_alive = self._refusal is not None
            self._presence = Presence(self.transport, self._current)
        return True

    def begin_request(self, head: Head) -> None:
        self._stop_timer()
        self.scope = cast(Any, self._scope(head))
        make = RequestResponseCycle if head.version == "1.1" else OldCycle
        cycle = self.cycle = make(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[*self.server_state.default_headers, self.keep_alive_field]
            if head.keep_alive
            else self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.awaits_continue,
            keep_alive=head.keep_alive,
            on_response=self.on_response_complete,
        )
        self._running = [other for other in self._running if not other.response_complete]
        if not self._running:
            self._start_asgi_task(cycle, self.app)
        else:
            self.pipeline.appendleft((cycle, self.app))
        self._running.append(cycle)

    def take_body(self, piece: bytes) -> None:
        self.on_body(piece)

    def end_request(self) -> None:
        self._stop_timer()
        self.on_message_complete()

    def is_full(self) -> bool:
        return len(self.pipeline) >= MAX_PIPELINED

    def _scope(self, head: Head) -> dict[str, Any]:
        path = head.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": head.version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "method": head.method,
            "path": _decoded(path) if "%" in path else path,
            "raw_path": head.path,
            "query_string": head.query,
            "headers": head.fields,
            "state": self.app_state.copy(),
            CONNECTION_KEY: Connection(self._closed, self.cut, self._is_whole),
        }

    def _is_whole(self) -> bool:
        return not self._reader.in_body

    # What is answered

    def on_response_complete(self) -> None:
        for cycle in self._running:
            if cycle.response_complete:
                cycle.body.clear()  # what came of it and nobody read
                if _connection(cycle).kept:
                    self.used_at = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._unread:
            self._go_on()
            return
        if self._refusal is not None:
            if not self._answering():
                self._say_no(self._refusal)
        elif self._reader.in_message:
            self._expect_progress()  # answered before the body was read: its rest may not take for ever

    def _go_on(self) -> None:
        """Read the requests that there was no room for, some at a time: what is left is copied each time."""
        if len(self.pipeline) > MAX_PIPELINED // 2:
            return
        self._unset_keepalive_if_required()
        self._feed(self._unread)
        if self._ended and not self._unread and not self.eof_received():
            self.transport.close()

    def shutdown(self) -> None:
        if self._refusal is not None and not self._answering():
            self.transport.close()
        else:
            super().shutdown()

    def _answering(self) -> bool:
        return self._current() is not None

    def _current(self) -> RequestResponseCycle | None:
        """The request that is being answered."""
        return next((cycle for cycle in self._running if not cycle.response_complete), None)

    def _refuse(self, error: ApiError) -> None:
        """Answer what can't be read any further, in its turn, and close."""
        self._refusal = error
        self._stop_timer()
        if self._reader.in_body and self.cycle in self._running:
            self._drop(self.cycle)
        if not self.transport.is_closing() and not self._answering():
            self._say_no(error)

    def _drop(self, cycle: RequestResponseCycle) -> None:
        """The request whose body broke off. Its answer, where it has begun, can't be made good: the connection ends."""
        if cycle.response_started and not cycle.response_complete:
            self.transport.abort()
            return
        self._running.remove(cycle)
        self.pipeline = type(self.pipeline)(item for item in self.pipeline if item[0] is not cycle)
        _give_up(cycle)

    def _say_no(self, error: ApiError) -> None:
        """The error as its path has errors, then nothing more. The sender is heard out, so that it can read it."""
        self._unset_keepalive_if_required()
        if self.cycle is None or not self.cycle.response_complete or not self._reader.in_body:
            answer = failure_at(self._reader.target)(error, "")
            fields = {**dict(answer.raw_headers), b"connection": b"close"}
            head = b"".join(b"%b: %b\r\n" % field for field in fields.items())
            self.transport.write(b"HTTP/1.1 %d Refused\r\n%b\r\n" % (error.status, head) + bytes(answer.body))
        if self._presence is not None:
            self.transport.close()  # it has said all
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    # Patience

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
        elif not self.transport.is_closing():
            self.transport.close()


def _decoded(path: str) -> str:
    """Without percent-encoding but for encoded slashes: they are part of a name (`app.http.names`), not of the way to it.

    A proxy that lets some paths through sees one segment there, and so must we.
    """
    return ENCODED_SLASH.join(unquote(part) for part in re.split(ENCODED_SLASH, path, flags=re.IGNORECASE))


def _give_up(cycle: RequestResponseCycle) -> None:
    """Nobody can be answered any more: what is written goes nowhere, who waits for the body is told."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()


def _connection(cycle: RequestResponseCycle) -> Connection:
    scope: Any = cycle.scope
    return connection_of(scope)
