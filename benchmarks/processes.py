"""A measured program in a process of its own: started, awaited, its CPU time read, ended with its children."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import httpx
import psutil

from benchmarks.errors import BenchError
from benchmarks.load import HOST

END_WAIT_S = 30.0
ENDING_S = 2.0  # from its closed connections to its end
POLL_S = 0.05


class Child:
    """`with Child(...)` runs the command in a session of its own, output into `log`.

    Ctrl-C then reaches the benchmark alone, which ends the child and all it started.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
    ) -> None:
        """`talks`: standard input and output are pipes instead."""
        self._command = command
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._pipe = subprocess.PIPE if talks else None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=self._pipe or subprocess.DEVNULL,
                stdout=self._pipe or log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *exception: object) -> None:
        """SIGTERM to the program alone, then the end of whatever is left of it."""
        family = (
            [psutil.Process(self.process.pid), *self.descendants()] if self.process.poll() is None else []
        )
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_WAIT_S)
        for left in family:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        psutil.wait_procs(family, timeout=END_WAIT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # it is gone, and has not read what it was told
                    pipe.close()
        self.process.wait(END_WAIT_S)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Raises BenchError when the program ends first, or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise self.failure(f"ended with status {self.process.returncode}")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {seconds:.0f} s")
            time.sleep(POLL_S)

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """While it is loaded: an error that comes from the program's end is told as that."""
        try:
            yield
        except BenchError:
            with suppress(subprocess.TimeoutExpired):
                raise self.failure(f"ended with status {self.process.wait(ENDING_S)}") from None
            raise

    def failure(self, what: str) -> BenchError:
        lines = self._log.read_text(errors="replace").split("\n") if self._log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")
        program = " ".join(self._command[1:4])
        return BenchError(f"{program} {what}: {last[:300]} (log: {self._log})")

    def descendants(self) -> list[psutil.Process]:
        return descendants(psutil.Process(self.process.pid))


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Children and theirs, those alive now."""
    return process.children(recursive=True)


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """Seconds of CPU, user and system, that these processes have used, their children excluded."""
    return sum(times.user + times.system for process in processes if (times := process.cpu_times()))


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind((HOST, 0))
        return int(listening.getsockname()[1])


def accepts(port: int) -> Callable[[], bool]:
    """A check for `wait_until`: somebody listens."""

    def check() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((HOST, port)) == 0

    return check


def answers_200(port: int, path: str) -> Callable[[], bool]:
    """A check for `wait_until`: GET of the path answers 200."""

    def check() -> bool:
        try:
            return httpx.get(f"http://{HOST}:{port}{path}", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    return check
