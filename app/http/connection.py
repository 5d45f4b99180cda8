"""The client may leave at any time: then the work for it stops.

Starlette cancels a stream when its client leaves but lets a unary handler run on, and waiting for ASGI's disconnect
message takes a task per request. Here the connection itself tells, and both kinds are watched alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from starlette.types import Scope

from app.concurrency import Interruption

DEPARTURE_KEY = "outworker.departure"
"""In the scope, put there by `app.http.uvicorn_protocol`: the connection's `ConnectionClosed`."""


class ClientLeft(Exception):
    """The connection is gone: there is nobody to answer."""


class SlowReader(ClientLeft):
    """The client stopped reading for longer than it may."""


@dataclass(slots=True)
class ConnectionClosed:
    """The end of one connection, for those who must hear of it."""

    gone: bool = False
    callbacks: set[Callable[[], None]] = field(default_factory=set)

    def happen(self) -> None:
        self.gone = True
        for callback in tuple(self.callbacks):
            callback()


class cancel_on_disconnect:  # noqa: N801  reads as what it does: `async with cancel_on_disconnect(scope)`
    """Cancel the block when the client leaves, and raise ClientLeft in place of the cancellation."""

    __slots__ = ("_departure", "_interruption")

    def __init__(self, scope: Scope) -> None:
        self._departure: ConnectionClosed = scope[DEPARTURE_KEY]

    async def __aenter__(self) -> None:
        if self._departure.gone:
            raise ClientLeft
        self._interruption = Interruption()
        self._departure.callbacks.add(self._interruption)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departure.callbacks.discard(self._interruption)
        if self._interruption.happened and await self._interruption.ended(error):
            raise ClientLeft from None
