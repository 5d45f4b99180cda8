"""pip in the environment: what it is asked to do, how far it is, and in one line why it failed."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from requirements.environment import Environment, size_bytes
from requirements.lists import Pin
from requirements.progress import MEGABYTE, Progress
from requirements.refusal import Refusal

LOOK_S = 0.5
PR_SET_PDEATHSIG = 1
ABSENT = r"No matching distribution found|ResolutionImpossible"
"""The second where pip's settings have a constraint for the package: what it finds nowhere is a conflict to pip then."""
AGAIN = "then run the same command again: what has arrived is kept"
FAULTS = (
    (r"No space left on device", f"the disk is full: free some room, {AGAIN}"),
    (r"DO NOT MATCH THE HASHES", "the package index gave a file that is not the published one, and nothing of it was "
     "installed: try again; if it stays, check which index pip is told to use (pip config list)"),
    (r"Retrying \(|NewConnectionError|ConnectionError|ConnectTimeout|ReadTimeout|Read timed out|ProxyError|SSLError"
     r"|IncompleteRead|ProtocolError|from versions: none",
     f"the package index can't be reached: check the network, the proxy and pip's settings (pip config list), {AGAIN}"),
    (ABSENT,
     "the package index has no file of a listed version for this machine and this Python, or a constraint of pip's "
     "settings forbids the version (pip config list)"),
    (r"Permission denied", "a file can't be written: check who owns the checkout"),
)  # fmt: skip


class NotInIndex(Refusal):
    """The index answers, and doesn't have the release: or can't be reached, which pip tells apart in warnings alone."""


class Pip:
    """Every call raises `Refusal` when pip fails; its whole output is in `log`."""

    def __init__(self, environment: Environment, progress: Progress) -> None:
        self._environment = environment
        self._progress = progress
        self._folder = environment.path / ".installing"
        self._arrived_mb = 0.0
        self.log = environment.path / "install.log"

    def install_list(self, path: Path, pins: Sequence[Pin], download_mb: int, *options: str) -> None:
        """Exactly these files, and nothing that would have to be built."""
        absent = [pin for pin in pins if pin.name not in self._environment.installed()]
        arguments = ("--no-deps", "--require-hashes", "--only-binary", ":all:", *options, "-r", str(path))
        self._install(arguments, path.stem, len(absent), round(download_mb * len(absent) / len(pins)))

    def install_checkout(self) -> None:
        self._install(("--no-deps", "--no-build-isolation", "--editable", "."), "outworker", 1, 0)

    def _install(self, arguments: Sequence[str], what: str, packages: int, download_mb: int) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        self._arrived_mb = 0
        before = len(self._environment.installed())
        with self.log.open("ab") as log:
            start = log.tell()
            process = self._start(arguments, log.fileno())
            try:
                while not _ended(process):
                    self._tell(what, packages, before, download_mb)
            finally:
                _end(process)
                shutil.rmtree(self._folder, ignore_errors=True)
        if process.returncode != 0:
            raise self._fault(start)

    def _start(self, arguments: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        # Its downloads lie beside the environment: /tmp is small, or memory, on many machines.
        environ = {**os.environ, "TMPDIR": str(self._folder), "PYTHONUNBUFFERED": "1"}
        command = [
            str(self._environment.python),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "install",
        ]
        return subprocess.Popen(  # noqa: S603  pip of the environment
            [*command, "--progress-bar", "off", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  one thread runs here
        )

    def _tell(self, what: str, packages: int, before: int, download_mb: int) -> None:
        unpacked = len(self._environment.installed()) - before
        if unpacked > 0:
            self._progress.show(f"{what}: unpacking", unpacked, packages, "packages")
        elif download_mb:
            # pip moves some of it away meanwhile: what has arrived doesn't become less.
            self._arrived_mb = arrived = max(self._arrived_mb, size_bytes(self._folder) / MEGABYTE)
            self._progress.show(f"{what}: fetching", arrived, max(download_mb, arrived), "MB")

    def _fault(self, start: int) -> Refusal:
        with self.log.open("rb") as log:
            log.seek(start)
            text = log.read().decode(errors="replace")
        kind = NotInIndex if re.search(ABSENT, text) else Refusal
        for pattern, line in FAULTS:
            if re.search(pattern, text):
                return kind(f"{line} (all that pip said: {self.log})")
        errors = [line for line in text.splitlines() if line.startswith("ERROR: ")] or ["it gave no reason"]
        return kind(f"pip failed: {errors[0].removeprefix('ERROR: ')} (all that it said: {self.log})")


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LOOK_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """pip ends before this does: two at once in one environment would tear it."""
    if process.poll() is None:
        process.terminate()
        process.wait()


def _end_with_parent() -> None:
    """Linux: an installer that is killed takes pip along."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
