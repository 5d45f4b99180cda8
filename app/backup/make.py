"""`outworker backup`: what the data directory has at one moment, while a server runs or not."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.accounts.development import TOKEN_FILE
from app.adapters.local_blobs import ADAPTERS_FOLDER, LocalBlobs
from app.backup.manifest import MANIFEST_FILE, Entry, file_faults, manifest_bytes
from app.backup.sinks import Sink, add_bytes, new_backup
from app.backup.tables import completed
from app.database.opening import DATABASE_FILE
from app.database.tables import PENDING
from app.errors import OperatorError, StorageError
from app.files import folder_lock


@dataclass(frozen=True, slots=True)
class Made:
    """`without_files` are adapters whose files were gone before."""

    files: int
    size_bytes: int
    without_files: tuple[str, ...]


def make_backup(data_dir: Path, place: Path) -> Made:
    """Write a backup to `place`, which must not be there yet. Raises `OperatorError`."""
    if not (data_dir / DATABASE_FILE).is_file():
        raise OperatorError(
            f"{data_dir}: has no database; set OUTWORKER_DATA_DIR to a server's data directory"
        )
    made_at = datetime.now(UTC).isoformat(timespec="seconds")
    with file_faults(data_dir), _snapshot(data_dir) as (snapshot, without_files):
        files = sorted(path for path in snapshot.rglob("*") if path.is_file())
        size_bytes = sum(path.stat().st_size for path in files)
        with file_faults(place):
            _check_room(place, size_bytes)
            with new_backup(place) as sink:
                entries = {str(path.relative_to(snapshot)): _add(sink, snapshot, path) for path in files}
                add_bytes(sink, MANIFEST_FILE, manifest_bytes(entries, made_at))
    return Made(len(entries), size_bytes, without_files)


def _check_room(place: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(place.parent).free
    if free < size_bytes:
        raise StorageError(
            f"{place}: the backup has {size_bytes} bytes, its disk {free} free; free some room"
        )


def _add(sink: Sink, snapshot: Path, path: Path) -> Entry:
    with path.open("rb") as file:
        return sink.add(str(path.relative_to(snapshot)), file, os.fstat(file.fileno()).st_size)


@contextmanager
def _snapshot(data_dir: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder with all that belongs to one moment, and the adapters whose files are gone.

    Rows and files change together under the two locks, so they are held for the copy of the database and for second
    names of the adapters' files, which take no room and no time. What is deleted after stays in the snapshot.
    """
    blobs = LocalBlobs(data_dir / ADAPTERS_FOLDER)
    with blobs.staged() as staged:
        with folder_lock(data_dir), blobs.lock():
            _copy_database(data_dir / DATABASE_FILE, staged / DATABASE_FILE)
            if (data_dir / TOKEN_FILE).is_file():
                shutil.copyfile(data_dir / TOKEN_FILE, staged / TOKEN_FILE)
            adapters, drafts = stored_in(staged / DATABASE_FILE)
            gone = blobs.link_all(staged / ADAPTERS_FOLDER, adapters, drafts)
        yield staged, gone


def _copy_database(source: Path, target: Path) -> None:
    """As SQLite does it: whole, whoever writes meanwhile, and without a log beside it."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=rw", uri=True)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        lack = completed(target)
    except (sqlite3.Error, SQLAlchemyError) as error:
        reason = getattr(error, "orig", error)
        raise StorageError(f"{source}: {reason}; check room and permissions of the data directory") from error
    if lack is not None:
        raise OperatorError(
            f"{source}: has {lack}; it is not a database of this program, or damaged: restore a backup"
        )


def stored_in(database: Path) -> tuple[Sequence[tuple[str, str]], Sequence[str]]:
    """Account and digest of each adapter, and the ids of the drafts. Raises `sqlite3.Error`."""
    with closing(sqlite3.connect(database)) as connection:
        stored = "SELECT DISTINCT account_id, digest FROM adapters WHERE digest <> ''"
        drafts = "SELECT id FROM adapters WHERE state IN (?, ?, ?)"
        ids = [row[0] for row in connection.execute(drafts, PENDING)]
        return connection.execute(stored).fetchall(), ids
