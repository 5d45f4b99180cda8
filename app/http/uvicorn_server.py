"""The socket and the HTTP server on it: uvicorn with our bounds and our way to end."""

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

import uvicorn
from starlette.types import ASGIApp

from app.errors import StartupError
from app.http.connections import ConnectionLimits, Connections
from app.http.tally import Tally
from app.http.uvicorn_protocol import GuardedProtocol
from app.settings import Settings

BACKLOG = 2048
RESERVED_DESCRIPTORS = 256
"""For what is no connection: database, adapters on their way, the engine; and for connections that wait to be taken."""
KEEP_ALIVE_GRACE_S = 5.0
"""Beyond what clients are told: one that uses a connection up to the last moment must not lose the request."""
WANTED_DESCRIPTORS = 65_536
SEND_BUFFER_BYTES = 262_144
"""What the system holds of a connection's answers; left to itself it would hold 4 MB."""

log = logging.getLogger(__name__)


LAST_WORDS_S = 5.0
"""How long clients of requests that were given up may take to hear of it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a server ends: `grace_s` after SIGTERM in which it serves but is not ready, then `drain_s` for what runs.

    `leave` makes it not ready, `drain` refuses new requests; `report` tells the person at the terminal.
    """

    grace_s: float
    drain_s: float
    leave: Callable[[], None]
    drain: Callable[[], None]
    report: Callable[[str], None]


class DrainingServer(uvicorn.Server):
    """uvicorn that drains: the first signal refuses new requests, the second gives up the running ones.

    With SIGTERM a grace time goes before: a balancer has to see that the server is not ready while it still serves.
    """

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        super().__init__(config)
        self._ending = ending
        self._told = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.end, self._ending.grace_s, "a second signal")
        loop.add_signal_handler(signal.SIGINT, self.end)
        yield

    def end(self, grace_s: float = 0, again: str = "Ctrl-C again") -> None:
        """Begin to end; called a second time, end at once. `again` is what the person has to do for that."""
        if self._told:
            for task in self.server_state.tasks:
                task.cancel("the server was told to end at once")
            self._close(again)
            return
        self._told = True
        self._ending.leave()
        if grace_s and self.started:
            self._ending.report(f"not ready any more; new requests are taken for {grace_s:g} s")
            asyncio.get_running_loop().call_later(grace_s, self._close, again)
        else:
            self._close(again)

    def _close(self, again: str) -> None:
        if self.should_exit:
            return
        self._ending.drain()
        self.should_exit = True
        if running := len(self.server_state.tasks):
            requests = "1 request" if running == 1 else f"{running} requests"
            self._ending.report(
                f"finishing {requests}, at most {self._ending.drain_s:g} s; {again} ends "
                + ("it" if running == 1 else "them")
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does; then those who were given up hear of it before the process ends."""
        await super().shutdown(sockets)
        if self.server_state.tasks and not self.force_exit:
            await asyncio.wait(tuple(self.server_state.tasks), timeout=LAST_WORDS_S)


class Application(Protocol):
    """An ASGI application that is told of the server's end, and what counts the server's own events."""

    @property
    def asgi(self) -> ASGIApp: ...

    @property
    def tally(self) -> Tally: ...

    def leave(self) -> None:
        """The server is about to end: say so to whoever asks whether it is ready."""

    def drain(self) -> None:
        """The server ends: refuse what is new."""


def http_server(
    settings: Settings, app: Application, report: Callable[[str], None] = lambda line: None
) -> DrainingServer:
    """Not started: `await serve(sockets=[...])` runs it until `end` is called or a signal comes."""
    limits = settings.limits

    class Protocol(GuardedProtocol):
        guard = Connections(connection_limits(settings), app.tally.count)
        max_header_bytes = limits.max_header_bytes
        slow_sender_s = limits.slow_sender_s
        keep_alive_field = (b"keep-alive", f"timeout={max(1, int(limits.keep_alive_s))}".encode())

    config = uvicorn.Config(
        app.asgi,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # an address that a client could forge decides nothing here
        backlog=_backlog(settings),
        timeout_keep_alive=cast(int, limits.keep_alive_s + KEEP_ALIVE_GRACE_S),  # a float serves as well
        timeout_graceful_shutdown=cast(int, limits.drain_s),  # a float serves as well
    )
    return DrainingServer(config, Ending(limits.stop_grace_s, limits.drain_s, app.leave, app.drain, report))


def connection_limits(settings: Settings) -> ConnectionLimits:
    """As set, or as many connections as there are file descriptors for; one peer gets three quarters at the most."""
    limits, most = settings.limits, _most_connections(settings)
    if most < limits.max_connections:
        log.warning(
            "at most %d connections: this process may open %d files (ulimit -n)", most, _descriptors()
        )
    return ConnectionLimits(
        most,
        min(limits.max_connections_per_peer, max(1, most * 3 // 4)),
        limits.max_unread_bytes,
        limits.slow_reader_s,
    )


def _most_connections(settings: Settings) -> int:
    descriptors = _descriptors()
    return min(settings.limits.max_connections, descriptors - min(RESERVED_DESCRIPTORS, descriptors // 2))


def _backlog(settings: Settings) -> int:
    """All that wait are taken in one go, each with a descriptor, before the first that is too many can be closed."""
    return max(1, min(BACKLOG, (_descriptors() - _most_connections(settings)) // 2))


def _descriptors() -> int:
    """How many files this process may open, after asking for as many as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def listen(settings: Settings) -> socket.socket:
    """Bound before anything else is made: a port in use is one line, not a half-started server."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named asyncio switches Nagle's delay off on accepted connections; uvloop always does.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted ones have it too
    try:
        listening.bind((host, port))
        listening.listen(_backlog(settings))  # only then is the port ours: two may bind it, one may listen
    except socket.gaierror:
        listening.close()
        raise StartupError(f"HOST (server.host) {host} is not an address of this machine") from None
    except OSError as error:
        listening.close()
        raise StartupError(
            f"can't listen on {host}:{port}: {(error.strerror or str(error)).lower()}: "
            "end the program that uses it or choose another with PORT=… (and HOST=…)"
        ) from None
    listening.set_inheritable(False)
    return listening
