"""The process that owns the log: reads from standard input what the server and its engines say, and bounds the file.

A process of its own, in the server's session: a server or an engine that writes must never wait for a launcher that
Ctrl-Z has stopped, and its last words must be written when both are killed. It ends with the last of those who write.
Only the standard library is imported, so that it starts at once and runs isolated.
"""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

READ_BYTES = 65_536
LOG_FILE_MODE = 0o600


class LogKeeper:
    """Appends to `path`. Over `max_bytes` the file becomes `<name>.1` and a new one begins: there are two at most."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file = open_log(path)

    def write(self, data: bytes) -> None:
        """A disk that takes nothing loses lines: who writes them must not wait for it."""
        with suppress(OSError):
            if not self._is_there():
                self.reopen()
            kept, rest = self._divided(data)
            self._append(kept)
            if rest:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                self.reopen()
                self._append(rest)

    def reopen(self) -> None:
        """Go on in the file that has the name now: the other was moved or deleted."""
        file = open_log(self._path)
        os.dup2(file, self._file, inheritable=False)  # in one step, as a signal may come at any time
        os.close(file)

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _divided(self, data: bytes) -> tuple[bytes, bytes]:
        """What still fits in whole lines, and the rest."""
        room = self._max_bytes - os.fstat(self._file).st_size
        if len(data) <= room:
            return data, b""
        end = data.rfind(b"\n", 0, max(room, 0)) + 1
        return data[:end], data[end:]


def open_log(path: Path) -> int:
    """A descriptor that appends to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, LOG_FILE_MODE)


def main(path: str, max_bytes: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # others are still writing
    keeper = LogKeeper(Path(path), int(max_bytes))

    def reopen(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            keeper.reopen()

    signal.signal(signal.SIGHUP, reopen)
    while data := os.read(0, READ_BYTES):
        keeper.write(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
