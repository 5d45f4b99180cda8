"""Pulling from ModelScope, through its own client: an optional package, which resumes and checks by itself.

Its cache keeps half of a repository as if it were the whole. So a record is written beside the files when all are there,
and only what a record lists, with the same sizes, counts as pulled.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from app.errors import printable
from app.files import write_private_file
from app.weights.hub_errors import PullFailed, no_space
from app.weights.machine import free_bytes
from app.weights.variants import GB, Copy

RECORDS: Final = "outworker"


def cache_folder() -> Path:
    """ModelScope's cache: `MODELSCOPE_CACHE`, else ~/.cache/modelscope."""
    return Path(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()


def find(copy: Copy) -> Path | None:
    """The file or folder of a copy that `pull` got whole and nobody changed since; None when there is none."""
    try:
        record = json.loads(_record(copy).read_bytes())
        folder = Path(record["folder"])
        whole = all((folder / path).stat().st_size == size for path, size in record["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return _result(copy, folder) if whole else None


def pull(copy: Copy, size_gb: float, say: Callable[[str], None]) -> Path:
    """Download what the cache lacks of a copy on ModelScope. Raises PullFailed, also when the client is missing."""
    cache = cache_folder()
    wanted, free = int(size_gb * GB), free_bytes(cache)
    if find(copy) is None and wanted > free:
        raise no_space(wanted, free, cache, variable="MODELSCOPE_CACHE")
    folder = _downloaded(copy, cache, lambda: say(f"{_place(copy)} on ModelScope: up to {size_gb:.2f} GB"))
    _write_record(copy, folder)
    return _result(copy, folder)


def _downloaded(copy: Copy, cache: Path, begin: Callable[[], None]) -> Path:
    try:
        from modelscope_hub import HubApi, HubConfig  # noqa: PLC0415  an optional package
        from modelscope_hub.errors import (  # noqa: PLC0415
            AuthenticationError,
            HubError,
            NotExistError,
            PermissionDeniedError,
        )
    except ImportError:
        raise PullFailed(
            f"ModelScope's client is not installed: run `{sys.executable} -m pip install modelscope-hub`, "
            "or pull from huggingface"
        ) from None
    logging.getLogger("modelscope_hub").setLevel(logging.WARNING)  # it tells of every step
    begin()
    try:
        folder = HubApi(HubConfig()).download_repo(
            copy.repository,
            "model",
            revision=copy.revision,
            cache_dir=cache,
            allow_patterns=list(copy.files),
            ignore_patterns=list(copy.leave_out) or None,
        )
    except (NotExistError, AuthenticationError, PermissionDeniedError) as error:
        raise PullFailed(
            f"ModelScope: {_place(copy)}: {_cause(error)}: it is not there, or needs a token: set MODELSCOPE_API_TOKEN"
        ) from None
    except (HubError, OSError, ValueError) as error:
        raise PullFailed(
            f"ModelScope: {_place(copy)}: {_cause(error)}: what arrived is kept, pull again"
        ) from None
    return Path(folder)


def _place(copy: Copy) -> str:
    return f"{copy.repository} at {copy.revision}"


def _cause(error: Exception) -> str:
    """One line: of an error that sums up several files, the first file's."""
    failed: dict[str, Exception] = getattr(error, "failed_files", None) or {}
    first = next(iter(failed.values()), error)
    return printable((str(first).splitlines() or [type(first).__name__])[0])


def _write_record(copy: Copy, folder: Path) -> None:
    """Raises PullFailed when a pattern matches no file: the repository has none."""
    files = dict(_files(copy, folder))
    for pattern in copy.files:
        if not any(fnmatch(path, pattern) for path in files):
            raise PullFailed(f"{copy.repository} has no file {pattern} at {copy.revision} on ModelScope")
    record = _record(copy)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_private_file(record, json.dumps({"folder": str(folder.absolute()), "files": files}).encode())


def _files(copy: Copy, folder: Path) -> Iterator[tuple[str, int]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        left_out = any(fnmatch(name, pattern) for pattern in copy.leave_out)
        if path.is_file() and not left_out and any(fnmatch(name, pattern) for pattern in copy.files):
            yield name, path.stat().st_size


def _record(copy: Copy) -> Path:
    what = "\n".join((copy.repository, copy.revision, *copy.files, "", *copy.leave_out))
    return cache_folder() / RECORDS / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"


def _result(copy: Copy, folder: Path) -> Path:
    return folder / copy.single_file if copy.single_file else folder
