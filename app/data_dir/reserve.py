"""Room that is kept back on the data directory's disk, so that what ends something works when the disk is full.

Revoking a token and deleting an adapter write a few pages before they free any. The file is given up for them and made
again as far as there is room.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Engine

from app.database.opening import checkpoint
from app.errors import StorageError
from app.files import PRIVATE_FILE_MODE

RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 2_000_000
"""SQLite's shared memory (32 KiB), its log for one transaction, and the parts of a folder."""

PIECE_BYTES: Final = 50_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reserve:
    """The file `reserve` of a data directory; None where the database is not a file. `engine` is the opened database."""

    path: Path | None
    engine: Engine | None = None

    @classmethod
    def of(cls, engine: Engine) -> Self:
        database = engine.url.database if engine.url.get_backend_name() == "sqlite" else None
        return cls(Path(database).with_name(RESERVE_FILE) if database else None, engine)

    def keep(self) -> None:
        """Make the file where as much again would stay free."""
        if self.path is not None and self.path.parent.is_dir():
            missing = self._missing_bytes(self.path)
            if missing and shutil.disk_usage(self.path.parent).free >= 2 * missing:
                _grow(self.path, missing)

    @staticmethod
    def _missing_bytes(path: Path) -> int:
        return max(RESERVE_BYTES - (path.stat().st_size if path.exists() else 0), 0)

    def spend(self, action: Callable[[], T]) -> T:
        """What `action` returns. Where the disk can't take it the room is given up and it runs once more.

        Raises what `action` raises; it must have undone itself when it raises `StorageError`.
        """
        try:
            return action()
        except StorageError:
            if self.path is None or not self.path.exists():
                raise
        try:
            self.path.unlink(missing_ok=True)
            return action()
        finally:
            if self.engine is not None:
                checkpoint(self.engine)  # SQLite's log grew into the room
            _grow(self.path, RESERVE_BYTES)  # what was not needed must not go to whoever filled the disk


def _grow(path: Path, missing_bytes: int) -> None:
    """As far as there is room. Random bytes: a file system that compresses or finds holes must keep them too."""
    with suppress(OSError):  # it is a precaution: nothing depends on it now
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, PRIVATE_FILE_MODE)
        try:
            while missing_bytes > 0:
                missing_bytes -= os.write(descriptor, secrets.token_bytes(min(missing_bytes, PIECE_BYTES)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
