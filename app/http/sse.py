"""Event streams: one write per delta, a comment when nothing was said for a while, a bound on slow readers.

Our own instead of a library's because it stands on the token path: sse-starlette costs 2.5 times as much per token.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.concurrency import Interruption
from app.errors import ApiError
from app.http.connection import SlowReader, cancel_on_disconnect, connection_of
from app.http.dialect import Frames
from app.http.envelope import REQUEST_ID_HEADER
from app.http.exchange import exchange_of
from app.inference.admission import Place
from app.inference.pipeline import Run

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
COMMENT = b":\n\n"

HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy that buffers would hold the tokens back
)

LAST_WRITE_S = 5.0


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """`ping_s`: a comment after that much silence; `slow_reader_s`: how long a write may wait for the client."""

    ping_s: float
    slow_reader_s: float


class EventStream(Response):
    """Runs `open_run`, then sends what `events` makes of it. Errors before the first byte are ordinary answers.

    Raised inside, they reach `app.http.error_boundary`, which knows from the exchange whether the stream has begun.
    `place` is kept for it and given up however it ends.
    """

    def __init__(
        self,
        open_run: Callable[[], AbstractAsyncContextManager[Run]],
        events: Callable[[Run], Frames],
        limits: StreamLimits,
        place: Place,
    ) -> None:
        place.keep()
        self._place = place
        self._open_run = open_run
        self._events = events
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        head = [*HEADERS, (REQUEST_ID_HEADER.encode(), exchange.request_id.encode())]
        try:
            async with cancel_on_disconnect(scope), self._open_run() as run:
                await send({"type": "http.response.start", "status": 200, "headers": head})
                exchange.streaming = True
                connection = connection_of(scope)
                connection.filler = COMMENT
                async with StreamWatchdog(send, self._limits, connection.abort) as watchdog:
                    await _write_all(run, self._events(run), watchdog)
        finally:
            self._place.give_up()
        # Out of the watch: the end of the answer looks to it as if the client had left.
        await _end(b"", scope, send)


async def _write_all(run: Run, frames: Frames, watchdog: "StreamWatchdog") -> None:
    """Every token of every stream comes through this loop, so it does what `StreamWatchdog.write` does."""
    if opening := next(frames):
        await watchdog.write(opening)
    make, send = frames.send, watchdog.send
    async for delta in run:
        if frame := make(delta):
            watchdog.begun += 1
            await send({"type": "http.response.body", "body": frame, "more_body": True})
            watchdog.ended += 1
    await watchdog.write(make(None))


class StreamWatchdog:
    """Writes frames and watches the clock beside them: silence is filled with a comment, a stuck write ends the stream.

    One timer per stream and two counters of writes, begun and ended: nothing else may be spent on a frame.
    """

    def __init__(self, send: Send, limits: StreamLimits, abort: Callable[[], object]) -> None:
        self.send = send
        self.begun = self.ended = 0
        self._abort = abort
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._begun_seen = 0
        self._stuck = Interruption()
        self._ping: asyncio.Task[None] | None = None
        self._interval_s = min(limits.ping_s, limits.slow_reader_s) / 4
        self._timer = self._loop.call_later(self._interval_s, self._tick)

    async def __aenter__(self) -> "StreamWatchdog":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()
        if self._stuck.happened and await self._stuck.ended(error):
            self._abort()
            raise SlowReader from None

    async def write(self, frame: bytes) -> None:
        self.begun += 1
        await self.send({"type": "http.response.body", "body": frame, "more_body": True})
        self.ended += 1

    def _tick(self) -> None:
        now = self._loop.time()
        if self.begun != self._begun_seen:  # looked at here, so that a write need not look at the clock
            self._begun_seen, self._last = self.begun, now
        silent_s = now - self._last
        writing = self.begun != self.ended
        if writing and silent_s >= self._limits.slow_reader_s:
            self._stuck()
            return
        if not writing and silent_s >= self._limits.ping_s:
            self._ping = self._loop.create_task(self.write(PING))
        self._timer = self._loop.call_later(self._interval_s, self._tick)


async def send_last_error(error: ApiError, scope: Scope, send: Send) -> None:
    """After the first byte an error is one last event and the end, without `[DONE]`."""
    exchange = exchange_of(scope)
    await _end(exchange.error_event(error, exchange.request_id), scope, send)


async def _end(body: bytes, scope: Scope, send: Send) -> None:
    """The last write. A client that does not read it is cut off."""
    try:
        async with asyncio.timeout(LAST_WRITE_S):
            await send({"type": "http.response.body", "body": body, "more_body": False})
    except TimeoutError:
        connection_of(scope).abort()
        raise SlowReader from None
