"""Private folders, whole files and a lock that two processes share: the few file operations that must be
exact."""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FOLDER_MODE = 0o700
PRIVATE_FILE_MODE = 0o600
READ_ONLY_MODE = 0o400


def private_folder(path: Path) -> Path:
    """Make `path` and its missing parents, readable by their owner alone. A folder that is there keeps its
    mode."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    return path


def create_private_file(path: Path) -> None:
    """Make an empty file with mode 0600 where there is none. An existing file is not even opened: closing a
    second descriptor of a database in use would drop the locks that SQLite holds on it
    (sqlite.org/howtocorrupt, 2.2)."""
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        os.close(os.open(path, flags, PRIVATE_FILE_MODE))
    except FileExistsError:
        return


def write_private_file(path: Path, data: bytes) -> None:
    """Replace `path` in one step: a reader sees the old bytes or the new ones, and the mode is 0600 from the
    start."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` alone among processes and threads; waits. The lock goes when its holder ends, however it
    ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def whole_file(path: Path, part_suffix: str = ".part") -> Iterator[Path]:
    """A name beside `path` under which the block makes the file; `path` is that file then, also where the power goes.

    Nothing stays of a block that fails. What a killed process left has the suffix.
    """
    part = path.with_suffix(part_suffix)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def whole_folder(folder: Path, leftovers: str = "") -> Iterator[Path]:
    """A folder in which the block makes its files; `folder` is that one then, in place of an older one.

    Call with the parent's lock held: what a killed process left is removed, by the pattern `leftovers` where it is not of
    this folder alone. Nothing stays of a block that fails.
    """
    for left in folder.parent.glob(leftovers or f".{folder.name}-*"):
        shutil.rmtree(left)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield fresh
        _swap_in(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap_in(fresh: Path, folder: Path) -> None:
    """Rename the new folder to its name. An old one is moved away first: a full one can't be replaced."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / folder.name)
        fresh.rename(folder)
        shutil.rmtree(old)
    else:
        fresh.rename(folder)
