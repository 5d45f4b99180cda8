"""The head of a GGUF file: its metadata, and where its tensors lie.

The format is ggml-org/ggml's docs/gguf.md. Read here rather than by llama.cpp, which ends the process over some broken
files, and rather than by the `gguf` package, which takes a second for a vocabulary. Nothing is believed before it is
held against the size of the file.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.errors import StartupError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
MAX_ENTRIES: Final = 4096  # of metadata, in files seen so far below 60
MAX_TENSORS: Final = 4096
MAX_KEY_BYTES: Final = 65_535  # the format's own
MAX_ARRAY_ITEMS: Final = 1_000_000  # vocabularies have up to 300 000
MAX_DIMENSIONS: Final = 4
DEFAULT_ALIGNMENT: Final = 32

NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The `struct` letter of a metadata value's type."""
STRING: Final = 8
ARRAY: Final = 9

BLOCKS: Final = {
    "F32": (0, 1, 4),
    "F16": (1, 1, 2),
    "Q4_0": (2, 32, 18),
    "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24),
    "Q8_0": (8, 32, 34),
    "Q2_K": (10, 256, 84),
    "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176),
    "Q6_K": (14, 256, 210),
    "IQ4_NL": (20, 32, 18),
    "IQ4_XS": (23, 256, 136),
    "BF16": (30, 1, 2),
}
"""Types of tensors: their number, the values in a block, its bytes (ggml's `ggml_type` and `type_traits`)."""
BLOCK_OF: Final = {number: (values, size) for number, values, size in BLOCKS.values()}


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """`shape` begins with the innermost dimension, as GGUF writes it; `offset` counts from the file's begin."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`metadata` is by GGUF's key, `tensors` by name."""

    metadata: dict[str, Any]
    tensors: dict[str, TensorPlace]


def read_header(path: Path) -> GgufHeader:
    """Raises StartupError in one line when the file is missing, broken, cut short or of another kind."""
    try:
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).header()
    except OSError as error:
        raise broken(path, error.strerror or "it can't be read") from None
    except (ValueError, struct.error) as error:
        raise broken(path, str(error)) from None


def broken(path: Path, what: str) -> StartupError:
    return StartupError(f"weights: {path}: {what}: fetch the file again or set another")


class _Reader:
    """Raises ValueError with what is wrong."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def header(self) -> GgufHeader:
        if self._file.read(4) != MAGIC:
            raise ValueError("it is not a GGUF file")
        version = self._number("I")
        if version not in VERSIONS:
            raise ValueError(f"its GGUF version is {version}, 2 and 3 are known")
        tensors = self._count("Q", MAX_TENSORS, "tensors")
        entries = self._count("Q", MAX_ENTRIES, "metadata entries")
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            key = self._text(MAX_KEY_BYTES)
            metadata[key] = self._value(self._number("I"))
        return GgufHeader(metadata, self._tensors(tensors, metadata))

    def _tensors(self, count: int, metadata: dict[str, Any]) -> dict[str, TensorPlace]:
        infos = [self._tensor_info() for _ in range(count)]
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise ValueError("its general.alignment is not a power of two from 8 on")
        begin = -(-self._file.tell() // alignment) * alignment
        places = {}
        for name, shape, kind, offset in infos:
            place = TensorPlace(name, shape, kind, begin + offset, _size_of(name, shape, kind))
            if place.offset + place.size > self._size:
                end = place.offset + place.size
                raise ValueError(f"it has {self._size} bytes where {name} ends at {end}: it was cut short")
            if offset % alignment or name in places:
                raise ValueError(f"its tensor {name} is not aligned or there twice")
            places[name] = place
        return places

    def _tensor_info(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text(MAX_KEY_BYTES)
        dimensions = self._count("I", MAX_DIMENSIONS, "dimensions in a tensor")
        shape = tuple(self._number("Q") for _ in range(dimensions))
        return name, shape, self._number("I"), self._number("Q")

    def _value(self, kind: int) -> Any:
        if kind in NUMBERS:
            return self._number(NUMBERS[kind])
        if kind == STRING:
            return self._text(self._size)
        if kind == ARRAY:
            item = self._number("I")
            count = self._count("Q", MAX_ARRAY_ITEMS, "items in a list")
            if item in NUMBERS:
                return self._numbers(NUMBERS[item], count)
            if item == STRING:
                return [self._text(self._size) for _ in range(count)]
        raise ValueError(f"its metadata has a value of the unknown type {kind}")

    def _text(self, limit: int) -> str:
        length = self._number("Q")
        if length > min(limit, self._size):
            raise ValueError(f"its head has a text of {length} bytes")
        return self._bytes(length).decode("utf-8", "replace")

    def _count(self, letter: str, limit: int, what: str) -> int:
        count: int = self._number(letter)
        if count > limit:
            raise ValueError(f"it has {count} {what}, {limit} are allowed")
        return count

    def _number(self, letter: str) -> Any:
        return self._numbers(letter, 1)[0]

    def _numbers(self, letter: str, count: int) -> list[Any]:
        layout = f"<{count}{letter}"
        return list(struct.unpack(layout, self._bytes(struct.calcsize(layout))))

    def _bytes(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("its head was cut short")
        return data


def _size_of(name: str, shape: tuple[int, ...], kind: int) -> int:
    """Bytes of a tensor's data."""
    if kind not in BLOCK_OF:
        raise ValueError(f"its tensor {name} is of type {kind}, which is not known")
    values, size = BLOCK_OF[kind]
    count = 1
    for dimension in shape:
        count *= dimension
    if not shape or not count or shape[0] % values:
        raise ValueError(f"its tensor {name} has the shape {list(shape)}")
    return count // values * size
