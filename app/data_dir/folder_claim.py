"""A mark on a folder itself, which no deletion takes away while the folder is there.

It is a lock on the folder's open file description, shared, of the kind that `fcntl` has: `flock` of the same folder
(`app.files.folder_lock`) does not feel it. Two hosts that share a folder over a network don't see each other's.
"""

import fcntl
import os
import struct
from contextlib import ExitStack
from pathlib import Path

from app.files import folder_lock

FLOCK = "hhqqi"  # struct flock: type, whence, start, length, pid
WHOLE = (os.SEEK_SET, 0, 0, 0)


def claim(folder: Path) -> int | None:
    """The descriptor that holds it until it is closed; None where another process holds it. Raises `OSError`.

    `OSError` also where the system has no such locks.
    """
    with folder_lock(folder), ExitStack() as undo:  # nobody else looks between our look and our mark
        descriptor = _opened(folder)
        undo.callback(os.close, descriptor)
        if _is_marked(descriptor):
            return None
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_RDLCK, *WHOLE))
        undo.pop_all()
        return descriptor


def is_claimed(folder: Path) -> bool:
    """Whether anybody holds it. Raises `OSError`."""
    descriptor = _opened(folder)
    try:
        return _is_marked(descriptor)
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _is_marked(descriptor: int) -> bool:
    """Whether a lock that shares with nobody would meet another: asked, not taken."""
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, *WHOLE)
    found, *_ = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    return bool(found != fcntl.F_UNLCK)
