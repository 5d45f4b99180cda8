"""Whether a client that closed its half of the connection is still there to read the other.

TCP says the same of one that waits for its answer (`shutdown(SHUT_WR)`) and of one that is gone, until something is
written: the one takes it, the other's system answers with a reset. So the answer itself is written a little earlier
than it is known: its first bytes are always the same. In a stream a comment does it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.http.connection import connection_of

ANSWER_BEGINS = b"HTTP/1.1 "

PAUSES_S = (0.02, 0.02, 0.04, 0.08, 0.15, 0.3, 1.0, 3.0, 10.0)
"""Between two writes. The first finds out, the second is told: one round trip later at the soonest."""


class BegunAnswer:
    """The transport of an answer whose first bytes are out already."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._ahead = 0
        self.is_closing = transport.is_closing
        self.close = transport.close

    def begin(self) -> None:
        """Write the next of the first bytes. When all are out there is nothing more to ask with."""
        if self._ahead < len(ANSWER_BEGINS):
            self._ahead += 1
            self._transport.write(ANSWER_BEGINS[self._ahead - 1 : self._ahead])

    def write(self, data: bytes) -> None:
        self._transport.write(data[self._ahead :])
        self._ahead = 0


class Presence:
    """Asks again and again while `current` is being answered; the transport says when the client is gone."""

    def __init__(
        self, transport: asyncio.Transport, current: Callable[[], RequestResponseCycle | None]
    ) -> None:
        self._transport = transport
        self._current = current
        self._asked = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ask()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ask(self) -> None:
        cycle = self._current()
        if cycle is None or self._transport.is_closing():
            return
        pause_s = PAUSES_S[min(self._asked, len(PAUSES_S) - 1)]
        self._timer = self._loop.call_later(pause_s, self._ask)
        self._asked += 1
        if not self._transport.get_write_buffer_size():  # what waits there asks as well
            self._write(cycle)

    def _write(self, cycle: RequestResponseCycle) -> None:
        scope: Any = cycle.scope
        filler = connection_of(scope).filler
        if not cycle.response_started:
            answer: Any = cycle.transport
            if not isinstance(answer, BegunAnswer):
                answer = BegunAnswer(self._transport)
                cycle.transport = answer
            answer.begin()
        elif filler is not None:
            chunk = b"%x\r\n%b\r\n" % (len(filler), filler) if cycle.chunked_encoding else filler
            self._transport.write(chunk)
