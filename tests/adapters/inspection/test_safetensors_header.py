import io
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from app.adapters.inspection.safetensors_header import read_header
from app.errors import AdapterRefused
from tests.adapters.make import Adapter, file_bytes, good

ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}
GOOD = good()
GOOD_HEADER = GOOD.header()
GOOD_DATA = GOOD.data()
GOOD_FILE = GOOD.weights()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def accepted(data: bytes) -> bool:
    """Whether the parser takes `data`; the format's own library must then read the same."""
    try:
        tensors = read_header(io.BytesIO(data), len(data))
    except AdapterRefused:
        return False
    theirs = dict(deserialize(data))
    assert {tensor.name for tensor in tensors} == set(theirs)
    position = 8 + int.from_bytes(data[:8], "little")
    for tensor in tensors:
        span = tensor.end - tensor.start
        assert tensor.start == position
        assert tensor.dtype == theirs[tensor.name]["dtype"]
        assert list(tensor.shape) == list(theirs[tensor.name]["shape"])
        assert data[tensor.start : tensor.end] == bytes(theirs[tensor.name]["data"])
        elements = 1
        for size in tensor.shape:
            elements *= size
        assert elements * ITEM_BYTES[tensor.dtype] == span
        position = tensor.end
    assert position == len(data)
    return True


def test_the_good_file_is_accepted() -> None:
    assert accepted(GOOD_FILE)


@given(st.binary(max_size=400))
def test_random_bytes_never_pass_and_never_crash(data: bytes) -> None:
    accepted(data)


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_random_headers_of_the_right_length(header: bytes, data: bytes) -> None:
    accepted(file_bytes(header, data))


@given(json_values, st.binary(max_size=20))
def test_random_json_headers(value: Any, data: bytes) -> None:
    accepted(file_bytes(json.dumps(value).encode(), data))


@given(st.lists(st.tuples(st.integers(0, len(GOOD_FILE) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD_FILE)
    for position, value in changes:
        data[position % (len(json.dumps(GOOD_HEADER)) + 8)] = value
    accepted(bytes(data))


@given(st.integers(0, len(GOOD_FILE)))
def test_truncated_files(length: int) -> None:
    assert accepted(GOOD_FILE[:length]) == (length == len(GOOD_FILE))


@given(
    st.sampled_from([name for name in GOOD_HEADER if name != "__metadata__"]),
    st.sampled_from(["dtype", "shape", "data_offsets"]),
    json_values
    | st.sampled_from(["F16", "BF16", "F32", "F64"])
    | st.lists(st.integers(-8, 4096), min_size=1, max_size=3),
)
def test_mutated_entries(name: str, key: str, value: Any) -> None:
    header = json.loads(json.dumps(GOOD_HEADER))
    header[name][key] = value
    accepted(file_bytes(json.dumps(header).encode(), GOOD_DATA))


shapes = st.lists(st.integers(0, 5), max_size=4)


@given(st.lists(st.tuples(st.sampled_from(list(ITEM_BYTES)), shapes), max_size=6), st.randoms())
def test_generated_files_pass_in_any_order_of_names(
    parts: list[tuple[str, list[int]]], rng: random.Random
) -> None:
    entries, start = [], 0
    for number, (dtype, shape) in enumerate(parts):
        size = ITEM_BYTES[dtype]
        for length in shape:
            size *= length
        entry = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size]}
        entries.append((f"t{number}", entry))
        start += size
    rng.shuffle(entries)
    data = file_bytes(json.dumps(dict(entries)).encode(), b"\0" * start)
    try:
        deserialize(data)
    except SafetensorError:  # the library is free to refuse more than the format does
        return
    assert accepted(data)


@pytest.mark.parametrize("number", ["-0", "0.0", "0e0", "00", "+0", "1" * 19])
def test_numbers_that_two_parsers_read_differently_are_refused(number: str) -> None:
    text = json.dumps(GOOD_HEADER).replace("[0, 512]", f"[{number}, 512]")
    assert number in text
    assert not accepted(file_bytes(text.encode(), GOOD_DATA))


@pytest.mark.parametrize("padding", [0, 1, 8, 1000])
def test_padding_with_spaces_is_part_of_the_format(padding: int) -> None:
    assert accepted(file_bytes(json.dumps(GOOD_HEADER).encode() + b" " * padding, GOOD_DATA))


def test_4096_tensors_pass() -> None:
    adapter = Adapter({}, {f"t{number}": GOOD.tensors[next(iter(GOOD.tensors))] for number in range(4096)})
    data = adapter.weights()
    assert len(read_header(io.BytesIO(data), len(data))) == 4096


def test_metadata_is_optional() -> None:
    header = {name: entry for name, entry in GOOD_HEADER.items() if name != "__metadata__"}
    assert accepted(file_bytes(json.dumps(header).encode(), GOOD_DATA))
