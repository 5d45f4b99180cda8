"""The header of a safetensors file, checked before anything else reads the file.

Format: 8 bytes little-endian N, N bytes of JSON, then the tensors' bytes
(github.com/huggingface/safetensors).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

from app.adapters.inspection.findings import finding
from app.adapters.inspection.strict_json import StrictJsonError, load_strict
from app.errors import AdapterRefused, printable
from app.model_files.lora import WEIGHTS_FILE

WEIGHTS_FILE_LIMIT_BYTES = 300_000_000
HEADER_MAX_BYTES = 1_000_000
METADATA_MAX_BYTES = 64_000
TENSORS_MAX = 4096
DIMENSIONS_MAX = 8
LENGTH_BYTES = 8
ITEM_BYTES: Mapping[str, int] = MappingProxyType({"F16": 2, "BF16": 2, "F32": 4})
TENSOR_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,23}")
SAVE_AGAIN = "save the adapter again with peft's save_pretrained"


@dataclass(frozen=True, slots=True)
class Tensor:
    """`start` and `end` are byte offsets from the beginning of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(file: BinaryIO, file_bytes: int) -> tuple[Tensor, ...]:
    """The tensors of a file of `file_bytes` bytes in the order of their bytes. Raises `AdapterRefused` at the
    first fault."""
    if file_bytes >= WEIGHTS_FILE_LIMIT_BYTES:
        raise _refused(
            f"the file has {file_bytes} bytes, must have fewer than {WEIGHTS_FILE_LIMIT_BYTES}",
            "train with a smaller rank or fewer target modules",
        )
    header = _parse(_header_bytes(file, file_bytes))
    _check_metadata(header.pop("__metadata__", {}))
    if len(header) > TENSORS_MAX:
        raise _refused(f"the header lists {len(header)} tensors, must be at most {TENSORS_MAX}", SAVE_AGAIN)
    data_start = file.tell()
    tensors = [_tensor(name, entry, data_start) for name, entry in header.items()]
    # Empty tensors share their start with the next one.
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end))
    _check_layout(tensors, data_start, file_bytes)
    return tuple(tensors)


def _refused(problem: str, change: str, where: str = WEIGHTS_FILE) -> AdapterRefused:
    return AdapterRefused(finding(where, problem, change))


def _header_bytes(file: BinaryIO, file_bytes: int) -> bytes:
    length_field = file.read(LENGTH_BYTES)
    if len(length_field) < LENGTH_BYTES:
        raise _refused(f"the file has {file_bytes} bytes, too few for a safetensors header", SAVE_AGAIN)
    length = int.from_bytes(length_field, "little")
    if length > HEADER_MAX_BYTES:
        raise _refused(f"the header claims {length} bytes, must be at most {HEADER_MAX_BYTES}", SAVE_AGAIN)
    data = file.read(length)
    if len(data) < length:
        raise _refused(f"the header claims {length} bytes, the file ends after {len(data)}", SAVE_AGAIN)
    return data


def _parse(data: bytes) -> dict[str, Any]:
    if not data.startswith(b"{") or not data.rstrip(b" ").endswith(b"}"):
        raise _refused("the header must be one JSON object, padded with spaces", SAVE_AGAIN)
    try:
        header = load_strict(data)
    except StrictJsonError as error:
        raise _refused(f"the header is not strict JSON ({printable(str(error))})", SAVE_AGAIN) from error
    if not isinstance(header, dict):
        raise _refused("the header must be one JSON object", SAVE_AGAIN)
    return header


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _refused("__metadata__ must be an object of texts", SAVE_AGAIN)
    size_bytes = sum(len(text.encode()) for pair in metadata.items() for text in pair)
    if size_bytes > METADATA_MAX_BYTES:
        raise _refused(
            f"__metadata__ has {size_bytes} bytes, must have at most {METADATA_MAX_BYTES}", SAVE_AGAIN
        )


def _tensor(name: str, entry: Any, data_start: int) -> Tensor:
    if TENSOR_NAME.fullmatch(name) is None:
        raise _refused(
            "a tensor's name must be letters, digits, _ and - with single dots between", SAVE_AGAIN, name
        )
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _refused("its entry must have exactly dtype, shape and data_offsets", SAVE_AGAIN, name)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        shown = printable(dtype, 16) if isinstance(dtype, str) else "no text"
        raise _refused(
            f"dtype is {shown}, must be F16, BF16 or F32", "convert the tensors to one of these", name
        )
    if not _are_sizes(shape) or len(shape) > DIMENSIONS_MAX:
        raise _refused(
            f"shape must be at most {DIMENSIONS_MAX} whole numbers, none below 0", SAVE_AGAIN, name
        )
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _refused("data_offsets must be two whole numbers, none below 0", SAVE_AGAIN, name)
    _check_span(name, dtype, shape, offsets)
    return Tensor(name, dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def _check_span(name: str, dtype: str, shape: list[int], offsets: list[int]) -> None:
    needed, span = math.prod(shape) * ITEM_BYTES[dtype], offsets[1] - offsets[0]
    if needed != span:
        raise _refused(
            f"{dtype} of shape {shape} needs {needed} bytes, data_offsets span {span}", SAVE_AGAIN, name
        )


def _check_layout(tensors: list[Tensor], data_start: int, file_bytes: int) -> None:
    position = data_start
    for tensor in tensors:
        if tensor.start != position:
            fault = "overlaps another tensor" if tensor.start < position else "leaves a gap before it"
            begins = tensor.start - data_start
            problem = (
                f"begins at byte {begins} of the data where {position - data_start} is expected: it {fault}"
            )
            raise _refused(problem, SAVE_AGAIN, tensor.name)
        position = tensor.end
    if position != file_bytes:
        raise _refused(f"the tensors end at byte {position}, the file at {file_bytes}", SAVE_AGAIN)
