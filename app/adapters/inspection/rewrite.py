"""The tensors file that is stored where the one that was sent has other names than peft's: the same bytes, named anew."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from app.adapters.inspection.safetensors_header import LENGTH_BYTES, read_header
from app.files import PRIVATE_FILE_MODE
from app.model_files.lora import WEIGHTS_FILE

PIECE_BYTES = 1_000_000
ALIGNMENT_BYTES = 8  # safetensors aligns the tensors' bytes so


def rename_tensors(folder: Path, names: Mapping[str, str]) -> str:
    """Replace the tensors file in `folder` by one with the names that `names` has for the old; its sha256.

    The old file is not changed: it may have another name elsewhere. `names` has all its tensors.
    """
    path, new = folder / WEIGHTS_FILE, folder / f".{WEIGHTS_FILE}.renamed"
    digest = hashlib.sha256()
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    with path.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        header = _header(source.fileno(), path, names)
        source.seek(0)
        source.seek(LENGTH_BYTES + int.from_bytes(source.read(LENGTH_BYTES), "little"))
        piece = header
        while piece:
            digest.update(piece)
            target.write(piece)
            piece = source.read(PIECE_BYTES)
        target.flush()
        os.fsync(target.fileno())
    new.replace(path)
    return digest.hexdigest()


def _header(descriptor: int, path: Path, names: Mapping[str, str]) -> bytes:
    """The whole head of the new file. Offsets count from its end, so they stay."""
    with path.open("rb") as file:
        tensors = read_header(file, os.fstat(descriptor).st_size)
    begin = tensors[0].start
    entries = {
        names[tensor.name]: {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [tensor.start - begin, tensor.end - begin],
        }
        for tensor in tensors
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
