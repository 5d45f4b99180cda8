"""Where a backup is written: a folder or one tar file, whole or not at all."""

import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Final, Protocol, cast

from app.backup.manifest import Entry
from app.errors import OperatorError
from app.files import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, private_folder, sync_folder

TAR: Final = ".tar"
OTHER_ARCHIVES: Final = (".gz", ".tgz", ".zip", ".xz", ".bz2", ".zst")
PIECE_BYTES: Final = 1_000_000


class Sink(Protocol):
    """Takes files by the names that they have in the backup."""

    def add(self, name: str, source: IO[bytes], size_bytes: int) -> Entry: ...


@contextmanager
def new_backup(place: Path) -> Iterator[Sink]:
    """A sink whose files are at `place` when the block ends well, and nowhere when it doesn't.

    Raises `OperatorError` where something is, and `OSError`.
    """
    if place.suffix in OTHER_ARCHIVES:
        raise OperatorError(
            f"{place}: give a name that ends in {TAR}, or a folder: weights don't get smaller"
        )
    if place.exists() and not (place.is_dir() and place.suffix != TAR and not any(place.iterdir())):
        raise OperatorError(f"{place}: is there already; give a new name")
    partial = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        with _tar(partial) if place.suffix == TAR else _folder(partial) as sink:
            yield sink
        partial.rename(place)
        sync_folder(place.parent)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)


class _Hashed:
    """A file that is hashed as it is read, exactly `size_bytes` of it."""

    def __init__(self, source: IO[bytes], size_bytes: int) -> None:
        self._source = source
        self._left = size_bytes
        self._digest = hashlib.sha256()

    def read(self, size_bytes: int = PIECE_BYTES) -> bytes:
        piece = self._source.read(min(size_bytes, self._left))
        if not piece and self._left:
            raise OSError("a file became shorter while it was read")
        self._left -= len(piece)
        self._digest.update(piece)
        return piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, name: str, source: IO[bytes], size_bytes: int) -> Entry:
        path = self._root / name
        private_folder(path.parent)
        hashed = _Hashed(source, size_bytes)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            while piece := hashed.read():
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        return Entry(size_bytes, hashed.sha256)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, source: IO[bytes], size_bytes: int) -> Entry:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size_bytes, PRIVATE_FILE_MODE
        hashed = _Hashed(source, size_bytes)
        self._archive.addfile(member, cast(IO[bytes], hashed))  # it reads, and asks for no more
        return Entry(size_bytes, hashed.sha256)


@contextmanager
def _folder(partial: Path) -> Iterator[Sink]:
    partial.mkdir(mode=PRIVATE_FOLDER_MODE)
    yield _Folder(partial)
    for folder, _, _ in os.walk(partial):
        sync_folder(Path(folder))


@contextmanager
def _tar(partial: Path) -> Iterator[Sink]:
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            yield _Tar(archive)
        file.flush()
        os.fsync(file.fileno())


def add_bytes(sink: Sink, name: str, data: bytes) -> None:
    sink.add(name, BytesIO(data), len(data))
