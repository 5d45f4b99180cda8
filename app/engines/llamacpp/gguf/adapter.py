"""A PEFT adapter as the GGUF file that llama.cpp loads, made once and kept by content."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
from numpy.typing import NDArray

from app.engines.llamacpp.gguf.model import GgufModel
from app.engines.llamacpp.gguf.tensor_names import MODULES, interleaved
from app.files import folder_lock, private_folder, whole_file
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE, read_tensor_name, settings_of
from app.types import StoredAdapter

CONVERSION: Final = 1
"""Raise it when the files that are made change: those of older versions are not looked at any more."""

PART: Final = ".part"
PLACE: Final = re.compile(r"(.{64})-\d+-\d+-(\d+)\.(?:gguf|part)")

NUMBERS: Final = {"F32": np.float32, "F16": np.float16, "F64": np.float64}


def converted(adapter: StoredAdapter, model: GgufModel, cache: Path) -> Path:
    """The adapter's GGUF for the shape of `model`, in the folder `cache`.

    Raises OSError, and ValueError when the files are not what was checked at their upload.
    """
    path = place_of(adapter, model, private_folder(cache))
    if not path.exists():
        with folder_lock(cache):
            if not path.exists():
                config = json.loads((adapter.folder / CONFIG_FILE).read_bytes())
                tensors = _tensors(config, (adapter.folder / WEIGHTS_FILE).read_bytes(), model)
                with whole_file(path, PART) as part:
                    _write_part(part, tensors)
    return path


def sweep(cache: Path, digests: Collection[str]) -> None:
    """Removes the files of adapters whose digest is not among `digests`, because they were deleted while another engine
    served or none, of older conversions, and what a killed conversion left.
    """
    if not cache.is_dir():
        return
    with folder_lock(cache):
        for path in cache.iterdir():
            match = PLACE.fullmatch(path.name)
            if match is None:
                continue
            digest, conversion = match.groups()
            if path.suffix == PART or digest not in digests or int(conversion) != CONVERSION:
                path.unlink()


def place_of(adapter: StoredAdapter, model: GgufModel, cache: Path) -> Path:
    """Equal adapters of two accounts share a file, which holds nothing else of either."""
    return cache / f"{adapter.digest}-{model.heads}-{model.key_heads}-{CONVERSION}.gguf"


def _write_part(part: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    import gguf  # noqa: PLC0415  a second of import, for a file that is written once

    writer = gguf.GGUFWriter(part, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)  # the scale is in the tensors
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(config: dict[str, Any], weights: bytes, model: GgufModel) -> dict[str, NDArray[np.float32]]:
    """By GGUF's name, (r, in) for A and (out, r) for B, which has the scale: llama.cpp knows one for all modules."""
    settings = settings_of(config)
    heads = {"q_proj": model.heads, "k_proj": model.key_heads}
    tensors = {}
    for name, view in safetensors.deserialize(weights):
        module, layer, kind, side = read_tensor_name(name)
        values = _float32(view)
        if side == "B":
            values = values * np.float32(settings.scale_of(module))
            values = interleaved(values, heads[kind]) if kind in heads else values
        tensors[f"blk.{layer}.{MODULES[kind]}.weight.lora_{side.lower()}"] = values
    return tensors


def _float32(view: dict[str, Any]) -> NDArray[np.float32]:
    """Exact for everything but float64."""
    data, shape = view["data"], view["shape"]
    if view["dtype"] == "BF16":
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, NUMBERS[view["dtype"]]).reshape(shape).astype(np.float32)
