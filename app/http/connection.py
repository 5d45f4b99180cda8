"""The client may leave at any time: then the work for it stops.

Starlette cancels a stream when its client leaves but lets a unary handler run on, and waiting for ASGI's disconnect
message takes a task per request. Here the connection itself tells, and both kinds are watched alike.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from starlette.types import Scope

from app.concurrency import Interruption

CONNECTION_KEY = "outworker.connection"


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


def _never() -> bool:
    return False


@dataclass(slots=True)
class Connection:
    """What the connection tells the answer to one request, and the other way round.

    `abort` closes it without waiting for a client that reads nothing any more. `is_whole` says whether all of the body
    is here. `kept`: a token came with the request, so it is not ended to make room for another one. `filler`: bytes
    without a meaning that may be put into an answer that has begun.
    """

    closed: ConnectionClosed = field(default_factory=ConnectionClosed)
    abort: Callable[[], object] = _never
    is_whole: Callable[[], bool] = _never
    kept: bool = False
    filler: bytes | None = None


def connection_of(scope: Scope) -> Connection:
    """The one that `app.http.uvicorn_protocol` put into the scope; a server without it knows nothing of connections."""
    connection = scope.get(CONNECTION_KEY)
    if connection is None:
        connection = scope[CONNECTION_KEY] = Connection()
    assert isinstance(connection, Connection)
    return connection


class cancel_on_disconnect:  # noqa: N801  reads as what it does: `async with cancel_on_disconnect(scope)`
    """Cancel the block when the client leaves, and raise ClientLeft in place of the cancellation."""

    __slots__ = ("_closed", "_interruption")

    def __init__(self, scope: Scope) -> None:
        self._closed = connection_of(scope).closed

    async def __aenter__(self) -> None:
        if self._closed.gone:
            raise ClientLeft
        self._interruption = Interruption()
        self._closed.callbacks.add(self._interruption)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.callbacks.discard(self._interruption)
        if self._interruption.happened and await self._interruption.ended(error):
            raise ClientLeft from None
