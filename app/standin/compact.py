"""The committed file: only the rows of tokens that were trained, plus one row that stands for all others.

A safetensors file whose tensors are the model's own, except the embedding: `model.embed_tokens.weight` is
(n + 1, hidden), where row i belongs to token `kept_ids[i]` and the last row to every token not in `kept_ids`.
numpy has no bfloat16, so those values travel as their 16 bits (uint16).
"""

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray

from app.resources import resource

COMPACT_FILE = resource("app/standin/weights/standin.safetensors")
EMBEDDING = "model.embed_tokens.weight"
KEPT_IDS = "kept_ids"
FINGERPRINT_KEY = "recipe_sha256"

Bits = NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Compact:
    """`kept_ids`: (n,) int32, ascending. `tensors`: bfloat16 bits by name. `recipe`: its recipe's sha256."""

    kept_ids: NDArray[np.int32]
    tensors: dict[str, Bits]
    recipe: str


def read(path: Path = COMPACT_FILE) -> Compact:
    """Raises FileNotFoundError or safetensors.SafetensorError."""
    tensors = dict(safetensors.deserialize(path.read_bytes()))
    ids = tensors.pop(KEPT_IDS)
    bits = {
        name: np.frombuffer(view["data"], np.uint16).reshape(view["shape"]) for name, view in tensors.items()
    }
    return Compact(np.frombuffer(ids["data"], np.int32), bits, read_metadata(path)[FINGERPRINT_KEY])


def read_metadata(path: Path) -> dict[str, str]:
    """The `__metadata__` of a safetensors file."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def write(compact: Compact, path: Path = COMPACT_FILE) -> None:
    """Write the committed file. Raises OSError."""
    arrays: dict[str, Bits | NDArray[np.int32]] = {**compact.tensors, KEPT_IDS: compact.kept_ids}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_safetensors(arrays, {FINGERPRINT_KEY: compact.recipe}))


def to_safetensors(
    arrays: Mapping[str, Bits | NDArray[np.int32]], metadata: dict[str, str] | None = None
) -> bytes:
    """A safetensors file: uint16 arrays are bfloat16 bits, int32 arrays are themselves."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    specs = {name: _spec(array) for name, array in whole.items()}
    return bytes(safetensors.serialize(specs, {"format": "pt", **(metadata or {})}))


def fingerprint(paths: list[Path]) -> str:
    """sha256 (hex) over the names and contents of files, in the order given.

    A module counts without imports and docstrings: where a module stands decides nothing of what is trained.
    """
    digest = hashlib.sha256()
    for path in paths:
        content = _without_prose(path.read_text("utf-8")) if path.suffix == ".py" else path.read_bytes()
        digest.update(path.name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _without_prose(module: str) -> bytes:
    tree = ast.parse(module)
    for node in ast.walk(tree):
        for body in (value for _, value in ast.iter_fields(node) if isinstance(value, list)):
            body[:] = [each for each in body if not _is_prose(each)]
    return ast.dump(tree).encode()


def _is_prose(node: object) -> bool:
    """Whether it is an import, or a text that stands by itself."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _spec(array: NDArray[Any]) -> safetensors.TensorSpec:
    """Points at the array's memory: the caller keeps the array alive while the file is made."""
    dtype = "bfloat16" if array.dtype == np.uint16 else array.dtype.name
    return safetensors.TensorSpec(
        dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes
    )
