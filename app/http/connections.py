"""All connections together: how many there may be, how much they may leave unread, and for how long."""

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from app.errors import TooManyConnections

PROGRESS_BYTES = 16_384
"""So much has to be read within `slow_reader_s`: 16 kB in 30 s is less than any line that can be worked on."""
SWEEP_MAX_S = 1.0
STALLED_S = 2.0
"""A connection that took nothing for so long may be ended to make room for another."""
BYTES_ACKED_AT = 120
"""Where `struct tcp_info` of Linux has `tcpi_bytes_acked` (since 4.1), 64 bits."""
IPV6_NETWORK_BITS = 64  # what one customer has at the least; he may choose the rest of the address at will


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`max_unread_bytes` of answers that wait for their readers, in all."""

    max_connections: int
    max_per_peer: int
    max_unread_bytes: int
    slow_reader_s: float


class Connection(Protocol):
    """One connection, as `app.http.uvicorn_protocol` has it."""

    transport: asyncio.Transport
    client: tuple[str, int] | None
    used_at: float
    """When it was opened, or the last answer to somebody with a token ended on it, by the loop's clock."""

    def expendable(self) -> bool:
        """Whether nothing is being answered on it to somebody with a token."""

    def cut(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """`acked` bytes had been read at `since`."""

    acked: int
    since: float


class Connections:
    """Admits connections and ends those whose answers are not read. For one event loop.

    No write pays for it: a sweep looks at each connection's buffer, and where it is not empty asks the kernel how much
    the peer has acknowledged.
    """

    def __init__(self, limits: ConnectionLimits, count: Callable[[str], None] = lambda what: None) -> None:
        """`count` is told of each connection that was refused or ended, in words for the log."""
        self._limits = limits
        self._count = count
        self._by_peer: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._all: dict[Connection, None] = {}
        self._unread: dict[Connection, _Mark] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, connection: Connection) -> TooManyConnections | None:
        """Count it in; what it is to be told where there is no room even when another one goes."""
        peers = self._by_peer[_peer(connection)]
        refusal = None
        if len(peers) >= self._limits.max_per_peer:
            refusal = self._make_room(peers, f"the most from one address are {self._limits.max_per_peer}")
        elif len(self._all) >= self._limits.max_connections:
            refusal = self._make_room(self._all, f"the most are {self._limits.max_connections}")
        if refusal is None:
            # Looked up again: the last of a peer's takes its place among the peers with it, and may have made the room.
            self._all[connection] = self._by_peer[_peer(connection)][connection] = None
            self._sweep_later()
        elif not peers:
            del self._by_peer[_peer(connection)]
        return refusal

    def leave(self, connection: Connection) -> None:
        if self._all.pop(connection, False) is False:
            return
        self._unread.pop(connection, None)
        peer = _peer(connection)
        self._by_peer[peer].pop(connection, None)
        if not self._by_peer[peer]:
            del self._by_peer[peer]

    def _make_room(self, among: dict[Connection, None], bound: str) -> TooManyConnections | None:
        """End the one that is missed least: who does not read, then the longest idle one.

        Idle is one that answers nobody with a token. A stranger's requests don't make it less so.
        """
        idle = None
        stalled = asyncio.get_running_loop().time() - min(STALLED_S, self._limits.slow_reader_s / 2)
        for connection in among:
            mark = self._unread.get(connection)
            if mark is not None and mark.since <= stalled:
                self._end(connection, "connections that did not read, ended for others")
                return None
            if (idle is None or connection.used_at < idle.used_at) and connection.expendable():
                idle = connection
        if idle is None:
            self._count("connections refused")
            return TooManyConnections(bound)
        self._end(idle, "connections without a valid token ended for others")
        return None

    def _end(self, connection: Connection, why: str) -> None:
        self._count(why)
        self.leave(connection)
        connection.cut()

    def _sweep_later(self) -> None:
        if self._timer is None:
            interval_s = min(SWEEP_MAX_S, self._limits.slow_reader_s / 4)
            self._timer = asyncio.get_running_loop().call_later(interval_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        sizes = {}
        for connection in tuple(self._all):
            size = connection.transport.get_write_buffer_size()
            if not size:
                self._unread.pop(connection, None)
            elif self._reads(connection, now):
                sizes[connection] = size
            else:
                self._end(connection, "connections ended because their answers were not read")
        self._shrink(sizes)
        if self._all:
            self._sweep_later()

    def _reads(self, connection: Connection, now: float) -> bool:
        """Whether the peer of a connection with a full buffer takes enough of it."""
        acked = _acked(connection.transport)
        mark = self._unread.get(connection)
        if mark is None or acked - mark.acked >= PROGRESS_BYTES:
            self._unread[connection] = _Mark(acked, now)
            return True
        return now - mark.since < self._limits.slow_reader_s

    def _shrink(self, sizes: dict[Connection, int]) -> None:
        """Keep what waits for readers within its bound: the largest goes first."""
        total = sum(sizes.values())
        for connection in sorted(sizes, key=sizes.__getitem__, reverse=True):
            if total <= self._limits.max_unread_bytes:
                return
            total -= sizes[connection]
            self._end(connection, "connections ended because too many answers waited for readers")


def _peer(connection: Connection) -> str:
    """An IPv4 address, or the network of an IPv6 one."""
    host = connection.client[0] if connection.client else ""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    assert isinstance(address, IPv6Address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    bits = 128 - IPV6_NETWORK_BITS
    return f"{int(address) >> bits << bits:x}"


def _acked(transport: asyncio.Transport) -> int:
    """How many bytes the peer's system has taken so far; 0 where that can't be known."""
    connected = transport.get_extra_info("socket")
    try:
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED_AT + 8)
        (acked,) = struct.unpack_from("=Q", info, BYTES_ACKED_AT)
    except (AttributeError, OSError, struct.error):  # closed meanwhile, or a system without it
        return 0
    return int(acked)
