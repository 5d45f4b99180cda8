"""Where the server of a data directory listens: written by it, for the commands that talk to it with its token.

An address counts while the lock of the data directory is held, so what a killed server left is nobody's address.
"""

import errno
import json
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from app.data_dir.server_lock import is_held
from app.files import write_private_file

ADDRESS_FILE: Final = "server.json"
ADDRESS_MAX_BYTES: Final = 1024
ANY_HOSTS: Final = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on
PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`host` is an address as the socket or the settings have it."""

    host: str
    port: int

    @classmethod
    def of_socket(cls, listening: socket.socket) -> Self:
        host, port, *_ = listening.getsockname()
        return cls(host, port)

    @classmethod
    def of_running(cls, data_dir: Path) -> Self | None:
        """Of the server that uses the folder now; None where none does, or where it has only begun."""
        if not is_held(data_dir):
            return None
        try:
            with (data_dir / ADDRESS_FILE).open("rb") as file:
                content = json.loads(file.read(ADDRESS_MAX_BYTES))
            host, port = str(ip_address(content["host"])), content["port"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(host, port) if isinstance(port, int) and 0 < port <= PORT_MAX else None

    def write(self, data_dir: Path) -> None:
        """Only for who holds the lock."""
        write_private_file(
            data_dir / ADDRESS_FILE, json.dumps({"host": self.host, "port": self.port}).encode()
        )

    @property
    def url(self) -> str:
        """Under which this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def is_at(self, host: str) -> bool:
        """Whether `host` is a name or address of this very socket, as certain without asking a name server."""
        if host == "localhost":
            return self.host in ("127.0.0.1", "::1", *ANY_HOSTS)
        try:
            address = ip_address(host)
        except ValueError:
            return False
        if self.host in ANY_HOSTS:
            return address.version == ip_address(self.host).version and is_of_this_machine(str(address))
        return address == ip_address(self.host)


def forget(data_dir: Path) -> None:
    """Delete the address; what another server left there must not be taken for the next one's."""
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


def is_of_this_machine(address: str) -> bool:
    """Whether a numeric address is one that this machine has: only such a one can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, a name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
