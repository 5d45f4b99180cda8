"""The values of an adapter's tensors, read in pieces: NaN, infinity and huge numbers would disturb other
requests."""

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.adapters.inspection.findings import finding
from app.adapters.inspection.modules import LoraModule
from app.adapters.inspection.safetensors_header import Tensor
from app.model_files.lora import LoraSettings

VALUE_MAX = 1e4
# The norm of scale * B * A. A trained adapter has less than 1e3. 1e8 in every module of a layer still leaves
# products of four of them finite in bfloat16, while values of 1e4 throughout would not.
UPDATE_NORM_MAX = 1e8
PIECE_BYTES = 1_000_000
TRAIN_AGAIN = "train again with a smaller learning rate"


@dataclass(frozen=True, slots=True)
class Magnitude:
    """The largest absolute value of a tensor (NaN or infinity if it holds one) and its Frobenius norm."""

    largest: float
    norm: float


def measure(file: BinaryIO, tensor: Tensor) -> Magnitude:
    """Read a tensor's bytes, at most `PIECE_BYTES` at once."""
    file.seek(tensor.start)
    largest, squares, left = 0.0, 0.0, tensor.end - tensor.start
    while left:
        wanted = min(PIECE_BYTES, left)
        data = file.read(wanted)
        if len(data) < wanted:
            raise OSError("the file became shorter while it was read")
        left -= len(data)
        values = _as_float32(data, tensor.dtype)
        largest = _worst(largest, float(np.max(np.abs(values))))
        with np.errstate(all="ignore"):
            squares += float(np.dot(values, values))
    return Magnitude(largest, math.sqrt(squares) if math.isfinite(squares) else math.inf)


def _as_float32(data: bytes, dtype: str) -> NDArray[np.float32]:
    if dtype == "F32":
        return np.frombuffer(data, "<f4")
    if dtype == "F16":
        with np.errstate(all="ignore"):
            return np.frombuffer(data, "<f2").astype(np.float32)
    # bfloat16 is the upper half of a float32.
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


def _worst(first: float, second: float) -> float:
    return math.nan if math.isnan(first) or math.isnan(second) else max(first, second)


def value_faults(
    file: BinaryIO, modules: list[LoraModule], settings: LoraSettings | None, others: list[Tensor]
) -> list[str]:
    """Read every value once. `others` are tensors of no module; without settings the scale counts as 1."""
    faults: list[str] = []
    for module in modules:
        scale = settings.scale_of(module.name) if settings is not None else 1.0
        a, b = measure(file, module.a), measure(file, module.b)
        found = _faults(module.a, a, scale) + _faults(module.b, b, scale)
        faults.extend(found or _update_faults(module, a.norm * b.norm * scale))
    for tensor in others:
        faults.extend(_faults(tensor, measure(file, tensor), 1.0))
    return faults


def _faults(tensor: Tensor, magnitude: Magnitude, scale: float) -> list[str]:
    if not math.isfinite(magnitude.largest):
        problem = f"holds {'NaN' if math.isnan(magnitude.largest) else 'an infinite value'}, must be finite"
        return [finding(tensor.name, problem, TRAIN_AGAIN)]
    # A scale below 1 must not hide a value that is huge before the scale is applied.
    applied = max(scale, 1.0)
    if magnitude.largest * applied > VALUE_MAX:
        held = f"holds a value of {magnitude.largest:g} at scale {scale:g}"
        problem = f"{held}, must be at most {VALUE_MAX:g} with and without the scale"
        return [finding(tensor.name, problem, TRAIN_AGAIN)]
    return []


def _update_faults(module: LoraModule, norm: float) -> list[str]:
    if norm <= UPDATE_NORM_MAX:
        return []
    problem = f"norm of A times norm of B times scale is {norm:g}, must be at most {UPDATE_NORM_MAX:g}"
    return [finding(module.name, problem, TRAIN_AGAIN)]
