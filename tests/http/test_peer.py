"""app/http/peer.py on connections of this process, and of one with another user."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import app.http.peer as peer_module
from app.http.peer import Address, is_loopback, is_own_user

LOOPBACK = ["127.0.0.1", "::1"]
NOBODY = 65534
CONNECT = "exec 3<>/dev/tcp/$0/$1; read"  # in bash, which every user may run


@contextmanager
def connection(host: str, as_user: int | None = None) -> Iterator[tuple[Address, Address]]:
    """Peer and own address of a connection that another process opened, as a server sees them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        command = ["bash", "-c", CONNECT, host, str(listening.getsockname()[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, user=as_user) as process:
            accepted, peer = listening.accept()
            with accepted:
                yield (peer[0], peer[1]), accepted.getsockname()[:2]
            process.communicate(timeout=10)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_process_of_this_user(host: str) -> None:
    with connection(host) as (peer, server):
        assert is_own_user(peer, server)


def test_another_number_than_this_users(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection("127.0.0.1") as (peer, server):
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert not is_own_user(peer, server)


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  {uid}        0 12 1 0
   2: 0200007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  4711        0 13 1 0
"""


@pytest.mark.parametrize(("uid", "own"), [(4711, True), (1000, False), (0, False), (NOBODY, False)])
def test_the_user_in_the_systems_table_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uid: int, own: bool
) -> None:
    table = tmp_path / "tcp"
    table.write_text(TABLE.format(uid=uid))
    monkeypatch.setitem(peer_module.SOCKET_TABLES, socket.AF_INET, table)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert is_own_user(("127.0.0.1", 50000), ("127.0.0.1", 8080)) is own


def test_users_without_a_number_are_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    table.write_text(TABLE.format(uid=NOBODY))
    monkeypatch.setitem(peer_module.SOCKET_TABLES, socket.AF_INET, table)
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    assert not is_own_user(("127.0.0.1", 50000), ("127.0.0.1", 8080))


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(peer_module.SOCKET_TABLES, socket.AF_INET, tmp_path / "nothing")
    with connection("127.0.0.1") as (peer, server):
        assert not is_own_user(peer, server)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_process_of_another_user() -> None:
    with connection("127.0.0.1", as_user=NOBODY) as (peer, server):
        assert not is_own_user(peer, server)


def test_a_connection_that_is_not_there() -> None:
    with connection("127.0.0.1") as (peer, server):
        assert not is_own_user((peer[0], 1), server)
        assert not is_own_user(peer, (server[0], 1))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
