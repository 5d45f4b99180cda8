"""From a folder that somebody gives to a sealed copy that passed inspection."""

from dataclasses import dataclass
from pathlib import Path

from app.adapters.blobs import Blobs
from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.config import CONFIG_MAX_BYTES
from app.adapters.inspection.inspector import inspect_adapter, missing_files
from app.adapters.inspection.modules import config_bytes
from app.adapters.inspection.rewrite import rename_tensors
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.errors import AdapterRefused
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE


@dataclass(frozen=True, slots=True)
class SealedAdapter:
    """A staged folder whose files may be served. `notes` are for the adapter's owner."""

    staged: Path
    digest: str
    rank: int
    notes: tuple[str, ...]


def take_in(blobs: Blobs, staged: Path, source: Path, base: BaseShape) -> SealedAdapter:
    """Copy the two files of `source` into `staged`, inspect the copy, and seal it.

    The copy is inspected, not the source, which may change meanwhile. Raises `AdapterRefused` and `OSError`.
    """
    absent = missing_files(source)
    if absent:
        raise AdapterRefused(*absent)
    blobs.receive(source / CONFIG_FILE, staged, CONFIG_MAX_BYTES + 1)
    weights_sha256 = blobs.receive(source / WEIGHTS_FILE, staged, WEIGHTS_FILE_LIMIT_BYTES)
    return inspect_staged(blobs, staged, weights_sha256, base)


def inspect_staged(blobs: Blobs, staged: Path, weights_sha256: str, base: BaseShape) -> SealedAdapter:
    """Inspect a staged folder that holds both files, and seal it in its canonical form.

    Raises `AdapterRefused` and `OSError`.
    """
    inspection = inspect_adapter(staged, base)
    if inspection.config is None:
        raise AdapterRefused(*inspection.findings)
    if any(sent != stored for sent, stored in inspection.names.items()):
        weights_sha256 = rename_tensors(staged, inspection.names)
    digest = blobs.seal(staged, config_bytes(inspection.config), weights_sha256)
    return SealedAdapter(staged, digest, inspection.rank, inspection.notes)
