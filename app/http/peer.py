"""Who is at the other end of a connection: a program of this machine, and whose."""

import os
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

Address = tuple[str, int]

SOCKET_TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
LOCAL, REMOTE, USER = 1, 2, 7  # columns of those tables (Linux, Documentation/networking/proc_net_tcp.rst)
OVERFLOW_USER = 65534  # stands for every user that a user namespace has no number for


def is_loopback(host: str) -> bool:
    """Of a name or address as settings and Host headers have it, without port and brackets."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_own_user(peer: Address, server: Address) -> bool:
    """Whether the process that connected from `peer` to `server` runs as this process's user.

    Loopback alone does not say so: every user of a machine can connect to it. False where the system does not tell.
    """
    return _uid(peer, server) == os.getuid() != OVERFLOW_USER


def _uid(peer: Address, server: Address) -> int | None:
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    wanted = [_in_hex(family, peer), _in_hex(family, server)]
    try:
        lines = SOCKET_TABLES[family].read_text("ascii").splitlines()[1:]
    except OSError:
        return None
    rows = (line.split() for line in lines)
    return next((int(row[USER]) for row in rows if [row[LOCAL], row[REMOTE]] == wanted), None)


def _in_hex(family: socket.AddressFamily, address: Address) -> str:
    """`0100007F:1F90`: words of 32 bits in the machine's order, then the port."""
    packed = socket.inet_pton(family, address[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
