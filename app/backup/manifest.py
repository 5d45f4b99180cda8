"""`backup.json`: which files a backup has, and what is in them. It is written last: without it there is no backup."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.errors import OperatorError, StorageError
from app.names import ACCOUNT_ID

MANIFEST_FILE: Final = "backup.json"
MANIFEST_MAX_BYTES: Final = 100_000_000
FORMAT: Final = 1
NAME: Final = re.compile(
    r"outworker\.db|dev-token"
    rf"|adapters/{ACCOUNT_ID.pattern}/[0-9a-f]{{64}}/(?:adapter_config\.json|adapter_model\.safetensors)"
    r"|adapters/\.drafts/[0-9a-f-]{36}/[0-9a-f]{64}"
)
"""All names that a backup may have: never another path."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`sha256` is in hexadecimal."""

    size_bytes: int
    sha256: str


def manifest_bytes(entries: Mapping[str, Entry], made_at: str) -> bytes:
    files = {name: {"bytes": entry.size_bytes, "sha256": entry.sha256} for name, entry in entries.items()}
    content = {"format": FORMAT, "made_at": made_at, "files": files}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def read_manifest(data: bytes, where: Path) -> dict[str, Entry]:
    """Raises `OperatorError` for what no backup of this program has."""
    try:
        content = orjson.loads(data)
        newer = content["format"] > FORMAT
        entries = {name: _entry(name, found) for name, found in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise broken(where, f"{MANIFEST_FILE} can't be read") from None
    if newer:
        raise OperatorError(f"{where}: made by a newer program; install that one, then restore")
    return entries


def _entry(name: str, found: Mapping[str, Any]) -> Entry:
    size_bytes, sha256 = found["bytes"], found["sha256"]
    if NAME.fullmatch(name) is None or not isinstance(size_bytes, int) or not isinstance(sha256, str):
        raise ValueError(name)
    return Entry(size_bytes, sha256)


def broken(where: Path, why: str) -> OperatorError:
    return OperatorError(f"{where}: {why}; give another backup")


@contextmanager
def file_faults(where: Path) -> Iterator[None]:
    """Raises `StorageError` in place of `OSError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{where}: {error.strerror or error}; check room and permissions there") from error
