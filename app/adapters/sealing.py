"""From a folder that somebody gives to a sealed copy that passed inspection."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.config import CONFIG_MAX_BYTES
from app.adapters.inspection.findings import finding
from app.adapters.inspection.inspector import inspect_adapter, missing_files
from app.adapters.inspection.modules import config_bytes
from app.adapters.inspection.rewrite import rename_tensors
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.errors import AdapterRefused
from app.files import PRIVATE_FILE_MODE, READ_ONLY_MODE, sync_folder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE

PIECE_BYTES: Final = 1_000_000
DIGEST_DOMAIN: Final = b"outworker adapter 1\0"


@dataclass(frozen=True, slots=True)
class SealedAdapter:
    """A staged folder whose files may be served. `notes` are for the adapter's owner."""

    staged: Path
    digest: str
    rank: int
    notes: tuple[str, ...]


def take_in(staged: Path, source: Path, base: BaseShape) -> SealedAdapter:
    """Copy the two files of `source` into `staged`, inspect the copy, and seal it.

    The copy is inspected, not the source, which may change meanwhile. Raises `AdapterRefused` and `OSError`.
    """
    absent = missing_files(source)
    if absent:
        raise AdapterRefused(*absent)
    _receive(source / CONFIG_FILE, staged, CONFIG_MAX_BYTES + 1)
    weights_sha256 = _receive(source / WEIGHTS_FILE, staged, WEIGHTS_FILE_LIMIT_BYTES)
    return inspect_staged(staged, weights_sha256, base)


def inspect_staged(staged: Path, weights_sha256: str, base: BaseShape) -> SealedAdapter:
    """Inspect a staged folder that holds both files, and seal it in its canonical form.

    Raises `AdapterRefused` and `OSError`.
    """
    inspection = inspect_adapter(staged, base)
    if inspection.config is None:
        raise AdapterRefused(*inspection.findings)
    if any(sent != stored for sent, stored in inspection.names.items()):
        weights_sha256 = rename_tensors(staged, inspection.names)
    digest = _seal(staged, config_bytes(inspection.config), weights_sha256)
    return SealedAdapter(staged, digest, inspection.rank, inspection.notes)


def adapter_digest(config: bytes, weights_sha256: str) -> str:
    """The name of both assets together: sha256 over a domain and the two sha256 sums. Hexadecimal."""
    parts = hashlib.sha256(config).digest() + bytes.fromhex(weights_sha256)
    return hashlib.sha256(DIGEST_DOMAIN + parts).hexdigest()


def _receive(source: Path, staged: Path, limit_bytes: int) -> str:
    """Copy the file `source` into `staged` and return the sha256 of its bytes, in hexadecimal.

    Raises `AdapterRefused` at `limit_bytes`, before more than that is written.
    """
    digest, size_bytes = hashlib.sha256(), 0
    descriptor = os.open(staged / source.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "wb") as target, source.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            size_bytes += len(piece)
            if size_bytes >= limit_bytes:
                problem = f"must have fewer than {limit_bytes} bytes"
                raise AdapterRefused(finding(source.name, problem, "use a smaller file"))
            digest.update(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


def _seal(staged: Path, config: bytes, weights_sha256: str) -> str:
    """Put our configuration in the place of the sent one, and make both files durable and read-only; the digest."""
    (staged / CONFIG_FILE).unlink()
    with (staged / CONFIG_FILE).open("xb") as file:
        file.write(config)
        file.flush()
        os.fsync(file.fileno())
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (staged / name).chmod(READ_ONLY_MODE)
    sync_folder(staged)
    return adapter_digest(config, weights_sha256)
