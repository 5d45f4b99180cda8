"""One file from a hub to the cache: resumed where an earlier pull ended, checked, and only then given its name.

huggingface_hub starts a broken download anew in the next process, and checks only the size of what arrived; here the
bytes that came stay in `<etag>.incomplete`, which nothing reads, and the whole file's checksum is compared.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.files import sync_folder
from app.weights.hub_errors import PullFailed

CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository at a commit. `sha256` is the hub's for large files (LFS), None for others, whose
    `git_blob` is git's sha1. `etag` names the blob in the cache.
    """

    path: str
    url: str
    size: int
    etag: str
    git_blob: str
    sha256: str | None


def partial_path(blob: Path) -> Path:
    """Where a file's bytes are until it is whole; the name that older clients of the hub resume from."""
    return blob.with_name(f"{blob.name}.incomplete")


def fetch(file: RemoteFile, blob: Path, headers: dict[str, str]) -> None:
    """Download what is missing of `file` and move it to `blob`. Nothing but a whole file ever has that name.

    Raises PullFailed for a wrong checksum, whose bytes are thrown away; what huggingface_hub raises otherwise.
    """
    from huggingface_hub.file_download import http_get  # noqa: PLC0415

    partial = partial_path(blob)
    with partial.open("ab") as out:
        if out.tell() > file.size:
            out.seek(0)  # or it would go on telling the old end
            out.truncate()
        http_get(
            file.url,
            out,
            resume_size=out.tell(),
            expected_size=file.size,
            headers=headers,
            displayed_filename=file.path,
        )
        out.flush()
        os.fsync(out.fileno())
    check(file, partial)
    partial.replace(blob)
    sync_folder(blob.parent)


def check(file: RemoteFile, path: Path) -> None:
    """Compare with the hub's checksum. Raises PullFailed and removes the file when it differs."""
    expected = file.sha256 or file.git_blob
    found = _sha256(path) if file.sha256 else _git_blob(path)
    if found == expected:
        return
    path.unlink()
    raise PullFailed(
        f"wrong checksum: {file.path} should have {expected[:16]}…, the bytes that came have {found[:16]}…; "
        "they are removed: pull again"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_blob(path: Path) -> str:
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
