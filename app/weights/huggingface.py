"""`outworker weights pull`: a variant's files from the Hugging Face hub into the usual cache.

A file is resumed where an earlier pull ended, checked, and only then given its name. huggingface_hub reads the hub's
answers, moves the bytes and makes the snapshot. Its `hf_hub_download` is not called: it starts a download that was killed
anew in the next process, and gives a file its name after a look at the size alone (`tests/weights/test_hub_client.py`
shows both). Here the bytes that came stay in `<etag>.incomplete`, which nothing reads, and the checksum is compared.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import printable
from app.files import folder_lock, sync_folder
from app.weights.hub_errors import PullFailed, check_endpoint, hub_answers, hub_failures, no_space
from app.weights.machine import free_bytes
from app.weights.variants import Copy

CHUNK_BYTES: Final = 1024 * 1024

QUIET: Final = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
"""No reports to the hub, and plain HTTP: what Xet downloads can't be resumed and checked by us."""

ETAG: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")

Say = Callable[[str], None]


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


if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile


def pull(copy: Copy, say: Say) -> Path:
    """Download what the cache lacks of a copy on the Hugging Face hub; its file, or the folder of its snapshot.

    `say` takes lines for a person. Raises PullFailed, SettingsError.
    """
    check_endpoint()
    os.environ.update(QUIET)  # read when huggingface_hub is imported
    import huggingface_hub  # noqa: PLC0415
    from huggingface_hub import constants  # noqa: PLC0415

    api = huggingface_hub.HfApi(library_name="outworker")
    with hub_failures(copy, constants.ENDPOINT):
        with hub_answers(constants.ENDPOINT):
            commit = api.model_info(copy.repository, revision=copy.revision).sha
        if commit is None:
            raise PullFailed(
                f"the hub names no commit for {copy.repository} at {copy.revision}: try again later"
            )
        storage = _storage(copy, Path(constants.HF_HUB_CACHE))
        blobs = storage / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        if _is_held(blobs):
            say(f"waiting for another pull of {copy.repository} to end")
        with folder_lock(blobs):
            paths = _download(api, copy, commit, blobs, say)
            folder = _link(copy, commit, paths)
            _point(storage / "refs" / copy.revision, commit)
    return folder / copy.single_file if copy.single_file else folder


def _is_held(folder: Path) -> bool:
    """Whether another holds it as `folder_lock` does, at this moment: only for what is said."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def needed(copy: Copy, paths: list[str]) -> list[str]:
    """Those of a repository's files that the copy consists of. Raises PullFailed when a pattern matches none."""
    kept = [path for path in paths if not any(fnmatch(path, pattern) for pattern in copy.leave_out)]
    for pattern in copy.files:
        if not any(fnmatch(path, pattern) for path in kept):
            raise PullFailed(f"{copy.repository} has no file {pattern} at {copy.revision}")
    return sorted(path for path in kept if any(fnmatch(path, pattern) for pattern in copy.files))


def _download(api: "HfApi", copy: Copy, commit: str, blobs: Path, say: Say) -> list[str]:
    """The paths of the files, all of which are blobs now."""
    from huggingface_hub import RepoFile  # noqa: PLC0415
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # noqa: PLC0415

    with hub_answers(api.endpoint):
        tree = api.list_repo_tree(copy.repository, revision=commit, recursive=True)
        listed = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    paths = needed(copy, list(listed))
    files = [_remote(copy, commit, listed[path]) for path in paths]
    missing = [file for file in files if not (blobs / file.etag).exists()]
    _check_space(missing, blobs)
    size = sum(file.size for file in missing)
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    say(f"{copy.repository} at {copy.revision}: {count}, {len(missing)} to download, {size / 1e9:.2f} GB")
    for file in missing:
        fetch(file, blobs / file.etag, build_hf_headers())
    return paths


def _remote(copy: Copy, commit: str, entry: "RepoFile") -> RemoteFile:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415

    url = hf_hub_url(copy.repository, entry.path, revision=commit)
    etag = get_hf_file_metadata(url).etag
    if etag is None or not ETAG.fullmatch(etag):  # it names a file in the cache
        raise PullFailed(
            f"the hub gives no etag for {printable(entry.path)} that could name a file: try again later"
        )
    size = entry.size if entry.lfs is None else entry.lfs.size
    sha256 = None if entry.lfs is None else entry.lfs.sha256
    # Not the address that the hub points to: that one is signed and may have ended when a later file's turn comes.
    return RemoteFile(entry.path, url, size, etag, entry.blob_id, sha256)


def _check_space(missing: list[RemoteFile], blobs: Path) -> None:
    there = sum(path.stat().st_size for file in missing if (path := partial_path(blobs / file.etag)).exists())
    wanted, free = sum(file.size for file in missing) - there, free_bytes(blobs)
    if wanted > free:
        raise no_space(wanted, free, blobs)


def _link(copy: Copy, commit: str, paths: list[str]) -> Path:
    """The hub's own client makes the snapshot: it finds every blob there and downloads nothing."""
    import huggingface_hub  # noqa: PLC0415

    with _no_progress():
        return Path(huggingface_hub.snapshot_download(copy.repository, revision=commit, allow_patterns=paths))


def _point(ref: Path, commit: str) -> None:
    """Let the branch name the commit, in one step."""
    ref.parent.mkdir(parents=True, exist_ok=True)
    fresh = ref.parent.parent / f".{ref.name}.{os.getpid()}"
    fresh.write_text(commit, "ascii")
    fresh.replace(ref)


def _storage(copy: Copy, cache: Path) -> Path:
    from huggingface_hub.file_download import repo_folder_name  # noqa: PLC0415

    return cache.expanduser().resolve() / repo_folder_name(repo_id=copy.repository, repo_type="model")


@contextmanager
def _no_progress() -> Iterator[None]:
    from huggingface_hub import utils  # noqa: PLC0415

    if utils.are_progress_bars_disabled():  # type: ignore[attr-defined]
        yield
        return
    utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        utils.enable_progress_bars()  # type: ignore[attr-defined]
