"""The lock of a data directory: the kernel holds it for the server that runs, and lets it go however that ends.

Nothing here is imported beyond the standard library: what must not wait for a server's imports may ask too.
"""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from app.data_dir.folder_claim import claim, is_claimed
from app.errors import StartupError
from app.files import PRIVATE_FILE_MODE, private_folder

LOCK_FILE: Final = "server.lock"
"""Never deleted: over a network a second file of that name would be a second lock."""

NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
HOLDER_MAX_BYTES: Final = 64

TRIES: Final = 20
PAUSE_S: Final = 0.01
"""Between two tries: a command that asks whether it is held (`is_held`) holds it for a moment itself."""


class ServerLock:
    """Held from `take` until `release` or the end of this process; children that are executed do not inherit it.

    It is `flock` on a file, so that containers, PID namespaces and hosts that share the folder share the lock, and a
    mark on the folder itself, which holds although somebody deletes that file. The file says which process holds it,
    for people alone.
    """

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = descriptors

    @classmethod
    def take(cls, data_dir: Path) -> Self:
        """Raises `StartupError` when another process holds it, or the folder can't have a lock."""
        descriptor = _open(data_dir)
        try:
            _lock(descriptor)
            descriptors = (descriptor, *_claimed(data_dir))
        except OSError as error:
            holder = os.pread(descriptor, HOLDER_MAX_BYTES, 0)
            os.close(descriptor)
            raise _refusal(data_dir, error, holder) from None
        _sign(descriptor)
        return cls(*descriptors)

    def release(self) -> None:
        """Another server may use the folder from now on."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def is_held(data_dir: Path) -> bool:
    """Whether a server uses the folder now. Where that can't be told none does."""
    with suppress(OSError):
        if is_claimed(data_dir):
            return True
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _open(data_dir: Path) -> int:
    path = data_dir / LOCK_FILE
    try:
        private_folder(data_dir)
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            raise StartupError(f"{path}: not a plain file; delete it, then start again")
        return os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, PRIVATE_FILE_MODE)
    except OSError as error:
        raise StartupError(
            f"data directory {data_dir}: {error.strerror}; set OUTWORKER_DATA_DIR to a folder you may write to"
        ) from error


def _claimed(data_dir: Path) -> tuple[int, ...]:
    """The descriptor that marks the folder, none where its file system has no such marks. Raises `BlockingIOError`."""
    try:
        mark = claim(data_dir)
    except OSError:
        return ()
    if mark is None:
        raise BlockingIOError
    return (mark,)


def _lock(descriptor: int) -> None:
    """Raises `OSError`."""
    for _ in range(TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(PAUSE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refusal(data_dir: Path, error: OSError, holder: bytes) -> StartupError:
    if error.errno in NO_LOCKS:
        return StartupError(
            f"data directory {data_dir}: its file system has no locks; set OUTWORKER_DATA_DIR to a local folder"
        )
    pid = holder.decode("ascii", errors="replace").strip()
    named = f"another server (pid {pid})" if pid.isdecimal() else "another server"
    return StartupError(
        f"{named} uses {data_dir}: stop it, or set OUTWORKER_DATA_DIR to another folder (and PORT to another port)"
    )


def _sign(descriptor: int) -> None:
    """Write who holds it. A full disk is no reason not to serve: the lock is held all the same."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        return
