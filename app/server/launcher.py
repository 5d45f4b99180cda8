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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from app.errors import StartupError
from app.program import CALLED_FROM_VARIABLE
from app.server import log_keeper
from app.server.child_processes import ProcessRecord, isolated

REPORT_FD_VARIABLE = "OUTWORKER_REPORT_FD"
LOG_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Log:
    """The log's file, and how large it may become before it is moved aside."""

    file: Path
    max_bytes: int


class Launcher:
    """`arguments` go to `python -m app.server.process`; its output goes to `log`, or to this terminal when None."""

    def __init__(self, arguments: Sequence[str], log: Log | None, record: ProcessRecord) -> None:
        self._arguments = arguments
        self._log = log
        self._record = record
        self._server: subprocess.Popen[bytes] | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._log_end = -1  # read by the keeper; held here too, so that nobody who writes ends with it
        self._signals = 0
        self._begun = False  # the server has spoken: from then on it knows SIGINT

    def run(self) -> int:
        """Until the server ends; its exit status, or 1 when a signal killed it."""
        read_end, write_end = os.pipe()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)
        signal.signal(signal.SIGHUP, self._pass_on if _on_a_terminal() else self._reopen_log)
        self._server = self._start(write_end)
        self._keep_log()
        signal.signal(signal.SIGCHLD, self._keep_log)
        if self._signals:  # came while the server was being started
            self._server.terminate()
        os.close(write_end)
        with os.fdopen(read_end, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._begun = True
                print(line, end="", flush=True)
        status = self._account_for(self._server.wait(), self._server.pid)
        self._end_log()
        return status

    def _account_for(self, status: int, server: int) -> int:
        """Our exit status; what went wrong is said with the place of the log."""
        ended = self._record.end_leftovers(of_server=server) if status < 0 else 0
        if status < 0 and self._signals:
            print("stopped before it was ready", flush=True)
            return 0
        where = f" (log: {self._log.file})" if self._log else ""
        if status < 0:
            print(
                f"outworker: the server was killed by signal {-status}; ended {ended} engine processes{where}"
            )
        elif status == 1:
            print(f"outworker: the server ended with status {status}{where}")
        sys.stdout.flush()
        return max(status, 0) or (1 if status else 0)

    def _start(self, write_end: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "app.server.process", *self._arguments]
        environment = {
            **isolated(os.environ),
            REPORT_FD_VARIABLE: str(write_end),
            CALLED_FROM_VARIABLE: str(Path.cwd()),
        }
        output = self._open_log()
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

    def _open_log(self) -> int | None:
        """Where the server and its engines write. Raises StartupError where the log can't be."""
        if self._log is None:
            return None
        try:
            os.close(log_keeper.open_log(self._log.file))
        except OSError as error:
            raise StartupError(f"can't write the log {self._log.file}: {error.strerror}") from None
        self._log_end, output = os.pipe()
        return output

    def _keep_log(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Start the log's owner, and another one when it was killed while the server runs."""
        if self._log is None or self._server is None or self._server.poll() is not None:
            return
        if self._keeper is None or self._keeper.poll() is not None:
            words = (log_keeper.__file__, str(self._log.file.absolute()), str(self._log.max_bytes))
            # Not our own output: it outlives us where an engine does, and who reads ours would wait for it.
            self._keeper = subprocess.Popen(  # noqa: S603  our own interpreter and file
                [sys.executable, "-I", "-S", *words],
                stdin=self._log_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _end_log(self) -> None:
        """Wait until what was said last is written."""
        if self._keeper is not None:
            os.close(self._log_end)
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(LOG_END_S)

    def _reopen_log(self, number: int, frame: FrameType | None) -> None:
        if self._keeper is not None:
            self._keeper.send_signal(signal.SIGHUP)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """The first signal drains, after a grace time where it is SIGTERM; the second ends at once."""
        self._signals += 1
        if self._server is not None:
            graceful = number == signal.SIGTERM and self._signals == 1
            self._server.send_signal(signal.SIGTERM if graceful or not self._begun else signal.SIGINT)


def _on_a_terminal() -> bool:
    """Whether SIGHUP means that somebody closed the window; elsewhere it means that the log was moved."""
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
