"""A PostgreSQL of the tests' own: on a Unix socket in a temporary folder, without fsync, gone at the end."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

USER = "postgres"
"""PostgreSQL refuses to run as root; Debian's package makes this account."""

FAST = "-c fsync=off -c full_page_writes=off -c max_connections=200"


def programs() -> Path:
    """The folder of initdb and pg_ctl, of the newest version that is installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    assert folders, "PostgreSQL is missing: run tests/programs.sh"
    return folders[-1]


@dataclass
class PostgreSql:
    """A running cluster. `url` makes a new, empty database each time."""

    folder: Path

    def __post_init__(self) -> None:
        self._numbers = count()

    def url(self) -> str:
        name = f"test{next(self._numbers)}"
        self.admin(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def url_of(self, name: str) -> str:
        return f"postgresql://{USER}@/{name}?host={self.folder}"

    def admin(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' {FAST}"
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        self._control("stop", "-w", "-m", "immediate")

    def _control(self, *arguments: str) -> None:
        run([str(programs() / "pg_ctl"), "-D", str(self.folder / "data"), *arguments])


@contextmanager
def cluster() -> Iterator[PostgreSql]:
    """Not below pytest's folder: the name of a socket has at most 107 bytes, and PostgreSQL's account must get in."""
    folder = Path(tempfile.mkdtemp(prefix="outworker-pg-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, USER, USER)
        initdb = [str(programs() / "initdb"), "-D", str(folder / "data"), "-U", USER, "--auth=trust"]
        run([*initdb, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"])
        running = PostgreSql(folder)
        running.start()
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(command: Sequence[str]) -> None:
    """As PostgreSQL's account where this is root."""
    user = USER if os.getuid() == 0 else None
    result = subprocess.run(
        command,
        check=False,
        user=user,
        group=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert result.returncode == 0, result.stdout.decode()
