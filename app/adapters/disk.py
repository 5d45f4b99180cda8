"""Faults of the data directory's disk, as one line that says what to do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import StorageError


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raises `StorageError` in place of `OSError`; a database raises it by itself."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"adapter files: {error.strerror or error}; check room and permissions of the data directory"
        ) from error


def check_room(folder: Path, wanted_bytes: int, min_free_bytes: int) -> None:
    """Raises `StorageError` when `wanted_bytes` more on the disk of `folder` would leave less than `min_free_bytes`."""
    free = shutil.disk_usage(folder).free
    if free - wanted_bytes < min_free_bytes:
        raise StorageError(
            "the data directory's disk has no room for it; delete adapters, or ask the server's operator",
            f"{free} bytes are free, of which {min_free_bytes} are kept and {wanted_bytes} more are wanted",
        )
