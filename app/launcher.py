"""The process in the foreground: starts the server in a session of its own and passes on one signal.

Ctrl-C and service managers signal the whole group. vLLM's children would die before any running request is finished;
so the server and its children are no part of the terminal's group, and only this process hears the signal. The
server's own output goes into a log file; what a person should read comes through a pipe, line by line.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from app.processes import ProcessRecord, isolated

REPORT_FD_VARIABLE = "OUTWORKER_REPORT_FD"
LOG_KEEP_BYTES = 10_000_000


class Launcher:
    """`arguments` go to `python -m app.serve`; its output goes to `log_file`, or to this terminal when None."""

    def __init__(self, arguments: Sequence[str], log_file: Path | None, record: ProcessRecord) -> None:
        self._arguments = arguments
        self._log_file = log_file
        self._record = record
        self._server: subprocess.Popen[bytes] | None = None
        self._signals = 0

    def run(self) -> int:
        """Until the server ends; its exit status, or 1 when a signal killed it."""
        read_end, write_end = os.pipe()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        self._server = self._start(write_end)
        if self._signals:  # came while the server was being started
            self._server.terminate()
        os.close(write_end)
        with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                print(line, end="", flush=True)
        return self._account_for(self._server.wait(), self._server.pid)

    def _account_for(self, status: int, server: int) -> int:
        """Our exit status; what went wrong is said with the place of the log."""
        ended = self._record.end_leftovers(of_server=server) if status < 0 else 0
        if status < 0 and self._signals:
            print("stopped before it was ready", flush=True)
            return 0
        where = f" (log: {self._log_file})" if self._log_file else ""
        if status < 0:
            print(
                f"outworker: the server was killed by signal {-status}; ended {ended} engine processes{where}"
            )
        elif status == 1:
            print(f"outworker: the server ended with status {status}{where}")
        sys.stdout.flush()
        return max(status, 0) or (1 if status else 0)

    def _start(self, write_end: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "app.serve", *self._arguments]
        environment = {**isolated(os.environ), REPORT_FD_VARIABLE: str(write_end)}
        output = open_log(self._log_file) if self._log_file else None
        try:
            return subprocess.Popen(  # noqa: S603  our own interpreter and module
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(write_end,),
                start_new_session=True,
            )
        finally:
            if output is not None:
                os.close(output)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """The first signal drains, the second ends at once."""
        self._signals += 1
        if self._server is not None:
            self._server.send_signal(signal.SIGTERM if self._signals == 1 else signal.SIGINT)


def open_log(path: Path) -> int:
    """A descriptor that appends to `path`; a log over 10 MB is moved aside first, to `<name>.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_KEEP_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
