"""`outworker restore`: a backup in the place of what a data directory has, when no server runs.

Adapters lie by their content, so they come first and disturb nothing; one rename of the database makes the backup what
counts; what no row names any more goes last. A restore that was killed is done again.
"""

import hashlib
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Final

from sqlalchemy.exc import SQLAlchemyError

from app.accounts.development import TOKEN_FILE
from app.adapters.local_blobs import ADAPTERS_FOLDER, LocalBlobs
from app.backup.make import stored_in
from app.backup.manifest import MANIFEST_FILE, MANIFEST_MAX_BYTES, Entry, broken, file_faults, read_manifest
from app.backup.tables import completed
from app.data_dir.server_lock import ServerLock
from app.database.migrations import SCHEMA_VERSION
from app.database.opening import DATABASE_FILE
from app.errors import OperatorError
from app.files import PRIVATE_FILE_MODE, folder_lock, private_folder, sync_folder, write_private_file

PIECE_BYTES: Final = 1_000_000
Open = Callable[[str], IO[bytes]]


def restore_backup(place: Path, data_dir: Path, *, replace: bool) -> int:
    """Check the whole backup, then put it into `data_dir`; the number of its files. Raises `OperatorError`.

    A database that is there is replaced only with `replace`. Never under a running server.
    """
    with file_faults(place), _opened(place) as open_member:
        lock = ServerLock.take(data_dir)
        try:
            if (data_dir / DATABASE_FILE).exists() and not replace:
                raise OperatorError(
                    f"{data_dir}: has a database; give --replace to lose it, or set OUTWORKER_DATA_DIR to a new folder"
                )
            with file_faults(data_dir):
                return _restore(place, open_member, data_dir)
        finally:
            lock.release()


def _restore(place: Path, open_member: Open, data_dir: Path) -> int:
    blobs = LocalBlobs(data_dir / ADAPTERS_FOLDER)
    with blobs.staged() as staged:
        entries = _copied(place, open_member, staged)
        _check_database(place, staged / DATABASE_FILE)
        with folder_lock(data_dir), blobs.lock():
            adapters, drafts = stored_in(staged / DATABASE_FILE)
            blobs.take_back(staged / ADAPTERS_FOLDER)
            _end_log(data_dir / DATABASE_FILE)
            (staged / DATABASE_FILE).replace(data_dir / DATABASE_FILE)
            sync_folder(data_dir)
            _restore_token(staged / TOKEN_FILE, data_dir / TOKEN_FILE)
            blobs.keep_only(adapters, drafts)
    return len(entries)


def _copied(place: Path, open_member: Open, staged: Path) -> Mapping[str, Entry]:
    """The entries, once the bytes of each are in `staged` as the manifest has them."""
    with open_member(MANIFEST_FILE) as file:
        entries = read_manifest(file.read(MANIFEST_MAX_BYTES), place)
    if DATABASE_FILE not in entries:
        raise broken(place, "has no database")
    for name, entry in entries.items():
        target = staged / name
        private_folder(target.parent)
        with open_member(name) as source:
            if _copy(source, target, entry.size_bytes) != entry.sha256:
                raise broken(place, f"{name} is not as it was written")
    return entries


def _copy(source: IO[bytes], target: Path, size_bytes: int) -> str:
    """The sha256 of what was there, of which at most `size_bytes` are written."""
    digest, left = hashlib.sha256(), size_bytes
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        while piece := source.read(min(PIECE_BYTES, left + 1)):
            digest.update(piece)
            left -= len(piece)
            if left < 0:
                break
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _check_database(place: Path, database: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as connection:
            (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
            (version,) = connection.execute("SELECT version FROM schema_version").fetchone()
            version = int(version)  # SQLite keeps any type in any column
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise broken(place, f"{DATABASE_FILE} can't be read ({error})") from error
    if whole != "ok":
        raise broken(place, f"{DATABASE_FILE} is damaged")
    if version > SCHEMA_VERSION:
        raise OperatorError(f"{place}: made by a newer program; install that one, then restore")
    try:
        lack = completed(database)
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise broken(place, f"{DATABASE_FILE} can't be read ({getattr(error, 'orig', error)})") from error
    except OperatorError as error:
        raise broken(place, str(error).partition(";")[0]) from error
    if lack is not None:
        raise broken(place, f"{DATABASE_FILE} has {lack}")


def _end_log(database: Path) -> None:
    """SQLite would apply the log of the old database to the new one. Raises `OperatorError` when it is in use."""
    if database.exists():
        try:
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            raise OperatorError(f"{database}: {error}; end what uses it, then restore again") from error
        except sqlite3.DatabaseError:
            pass  # it is damaged, and goes with its log
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _restore_token(saved: Path, path: Path) -> None:
    if saved.exists():
        write_private_file(path, saved.read_bytes())
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _opened(place: Path) -> Iterator[Open]:
    """How to open a file of the backup by its name. Raises `OperatorError` for what is no backup."""
    if place.is_dir():
        yield lambda name: _open_file(place, name)
        return
    try:
        _read_headers(place)
        with tarfile.open(place, "r:") as archive:
            yield lambda name: _open_member(place, archive, name)
    except FileNotFoundError:
        raise OperatorError(f"{place}: is not there; give the file or folder of `outworker backup`") from None
    except tarfile.TarError:
        raise broken(place, "not a tar file of `outworker backup`") from None


def _read_headers(place: Path) -> None:
    """Raises `OperatorError` for what tarfile stumbles over: it believes the numbers in other programs' headers."""
    try:
        with tarfile.open(place, "r:") as archive:
            archive.getmembers()
    except (ValueError, LookupError, ArithmeticError, MemoryError):
        raise broken(place, "not a tar file of `outworker backup`") from None


def _open_file(place: Path, name: str) -> IO[bytes]:
    path = place / name
    if not os.path.lexists(path):
        raise broken(place, f"has no {name}")
    if path.is_symlink() or not path.is_file():
        raise broken(place, f"{name} is not a file")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _open_member(place: Path, archive: tarfile.TarFile, name: str) -> IO[bytes]:
    try:
        member = archive.getmember(name)
    except KeyError:
        raise broken(place, f"has no {name}") from None
    file = archive.extractfile(member) if member.isreg() else None
    if file is None:
        raise broken(place, f"{name} is not a file")
    return file
