"""A llamafile: a program with a zip archive at its end, in which lies a GGUF file (Mozilla-Ocho/llamafile).

The member is stored, not compressed, but llama.cpp reads a file from its begin alone; so the member is copied once to
a file of its own, checked by the archive's checksum, and found there from then on. Its name is of the checksum, so that
equal llamafiles share it; the seal beside it lists them, and is there when the copy is whole.
"""

import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from app.engines.llamacpp.gguf.header import broken
from app.errors import StartupError
from app.files import folder_lock, private_folder, whole_file, write_private_file

SUFFIX: Final = ".llamafile"
COPY_SUFFIX: Final = ".gguf"
PART_SUFFIX: Final = ".part"
CHUNK_BYTES: Final = 8 * 1024 * 1024
MAX_MEMBERS: Final = 10_000
LEAST_FREE_BYTES: Final = 1024 * 1024 * 1024
"""What a copy must leave on the disk."""


def gguf_in(llamafile: Path, cache: Path) -> Path:
    """The GGUF file inside, as a file in the folder `cache`, which is for such copies alone.

    Raises StartupError in one line.
    """
    with _said_in_one_line(llamafile):
        return _gguf_in(llamafile, cache)


def copied_gguf(llamafile: Path, cache: Path) -> Path | None:
    """The file that `gguf_in` made of the llamafile as it is now; None where it would have to copy.

    Raises StartupError in one line.
    """
    with _said_in_one_line(llamafile), zipfile.ZipFile(llamafile) as archive:
        member = _member(archive)
        path = _copy_of(llamafile, cache, member)
        return path if _sources(path, member.file_size) else None


class _Source(NamedTuple):
    """A llamafile as it was when its copy was made or found."""

    path: str
    size: int
    mtime_ns: int


@contextmanager
def _said_in_one_line(llamafile: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise broken(llamafile, error.strerror or "it can't be read") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError) as error:
        raise broken(llamafile, f"it is not a llamafile: {error}") from None


def _gguf_in(llamafile: Path, cache: Path) -> Path:
    with zipfile.ZipFile(llamafile) as archive:
        member = _member(archive)
        path, source = _copy_of(llamafile, private_folder(cache), member), _source(llamafile)
        if source not in _sources(path, member.file_size):
            with folder_lock(cache):
                sources = _sources(path, member.file_size)
                if not sources:
                    _remove_outdated(cache)
                    _check_room(llamafile, cache, member.file_size)
                    _copy(archive, member, path)
                _write_seal(path, {*filter(_is_current, sources), source})
    return path


def _copy_of(llamafile: Path, cache: Path, member: zipfile.ZipInfo) -> Path:
    return cache / f"{llamafile.stem}-{member.CRC:08x}-{member.file_size}{COPY_SUFFIX}"


def _remove_outdated(cache: Path) -> None:
    """Copies whose llamafiles are all gone or changed, and what a killed process left. Call with the lock held."""
    for copy in cache.glob(f"*{COPY_SUFFIX}"):
        if not any(map(_is_current, _known_sources(copy))):
            copy.unlink()
            _seal_of(copy).unlink(missing_ok=True)
    for part in cache.glob(f"*{PART_SUFFIX}"):
        part.unlink()


def _is_current(source: _Source) -> bool:
    """Whether the llamafile is as it was."""
    try:
        return _source(Path(source.path)) == source
    except OSError:
        return False


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise ValueError(f"it has {len(infos)} files in it, {MAX_MEMBERS} are allowed")
    ggufs = [info for info in infos if info.filename.endswith(".gguf")]
    if len(ggufs) != 1:
        raise ValueError(f"it has {len(ggufs)} files *.gguf in it, one is wanted")
    if ggufs[0].compress_type != zipfile.ZIP_STORED or ggufs[0].flag_bits & 1:
        raise ValueError("the GGUF in it is compressed or encrypted, it must be stored")
    return ggufs[0]


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """The checksum is the archive's."""
    checksum = 0
    with whole_file(path, PART_SUFFIX) as part:
        with archive.open(member) as source, part.open("wb") as target:
            while chunk := source.read(CHUNK_BYTES):
                checksum = zlib.crc32(chunk, checksum)
                target.write(chunk)
        if checksum != member.CRC or part.stat().st_size != member.file_size:
            raise ValueError("the GGUF in it is cut short or changed")


def _check_room(llamafile: Path, cache: Path, size: int) -> None:
    free = shutil.disk_usage(cache).free
    if free < size + LEAST_FREE_BYTES:
        raise StartupError(
            f"weights: {llamafile}: copying its GGUF to {cache} takes {size} bytes, {free} are free: make room or "
            "set weights to the GGUF file itself"
        )


def _sources(copy: Path, size: int) -> list[_Source]:
    """The llamafiles that share the copy; none where there is no copy, or it has lost its end."""
    try:
        return _known_sources(copy) if copy.stat().st_size == size else []
    except OSError:
        return []


def _known_sources(copy: Path) -> list[_Source]:
    """What was written beside it; none where nothing could be read."""
    try:
        known = json.loads(_seal_of(copy).read_bytes())["llamafiles"]
        return [_Source(str(path), int(size), int(mtime_ns)) for path, size, mtime_ns in known]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _source(llamafile: Path) -> _Source:
    path = llamafile.resolve()
    status = path.stat()
    return _Source(str(path), status.st_size, status.st_mtime_ns)


def _write_seal(copy: Path, sources: set[_Source]) -> None:
    write_private_file(_seal_of(copy), json.dumps({"llamafiles": sorted(sources)}).encode())


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".json")
