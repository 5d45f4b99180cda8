"""The stand-in as a GGUF file: the same numbers as the folder's, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from app.engines.llamacpp.gguf.header import BLOCKS, read_header
from app.engines.llamacpp.gguf.tensor_names import interleaved
from app.standin import compact
from app.standin.gguf import FILE_NAME, FOLDER_NAME, MAX_ERROR, ensure_gguf, write_gguf


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_gguf(tmp_path_factory.mktemp("gguf"))


Values = Callable[[str], np.ndarray]


def values_of(path: Path) -> Values:
    """Of each tensor by its name. The reader takes a second for the vocabulary."""
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    return lambda name: gguf.dequantize(tensors[name].data, tensors[name].tensor_type)


@pytest.fixture(scope="module")
def values(made: Path) -> Values:
    return values_of(made)


def published(name: str) -> np.ndarray:
    return (compact.read().tensors[name].astype(np.uint32) << 16).view(np.float32)


def test_weights_are_the_same_to_the_last_bit_of_f16(values: Values) -> None:
    for name, theirs in (
        ("blk.2.ffn_down.weight", "model.layers.2.mlp.down_proj.weight"),
        ("blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"),
        ("output_norm.weight", "model.norm.weight"),
    ):
        wanted = published(theirs)
        differ = values(name) != wanted
        assert np.abs(values(name) - wanted).max() <= MAX_ERROR
        assert not np.any(differ & (np.abs(wanted) >= 2.0**-14))


def test_bf16_is_exact(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", "BF16")
    wanted = published("model.layers.1.mlp.up_proj.weight")
    assert np.array_equal(values_of(tmp_path / "x.gguf")("blk.1.ffn_up.weight"), wanted)


def test_every_token_has_its_row(values: Values) -> None:
    small = compact.read()
    rows, kept = values("token_embd.weight"), published(compact.EMBEDDING)
    assert rows.shape == (32_000, 256)
    assert np.abs(rows[small.kept_ids] - kept[:-1]).max() <= MAX_ERROR
    others = np.setdiff1d(np.arange(32_000), small.kept_ids)
    assert np.abs(rows[others] - kept[-1]).max() <= MAX_ERROR


def test_rows_of_queries_and_keys_are_interleaved(values: Values) -> None:
    """Row i of a head's first half stands before row i of its second."""
    theirs = published("model.layers.0.self_attn.k_proj.weight")
    mine = values("blk.0.attn_k.weight")
    assert np.abs(mine - interleaved(theirs, 2)).max() <= MAX_ERROR
    head = theirs[64:128]
    assert np.abs(mine[64:128:2] - head[:32]).max() <= MAX_ERROR
    assert np.abs(mine[65:128:2] - head[32:]).max() <= MAX_ERROR


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"])
def test_each_kind_can_be_read(tmp_path: Path, kind: str) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    tensors = read_header(tmp_path / "x.gguf").tensors
    assert {tensors[name].kind for name in tensors if "norm" not in name} == {BLOCKS[kind][0]}


def test_types_of_tensors_are_ggmls() -> None:
    known = {gguf.GGMLQuantizationType[name]: (values, size) for name, (_, values, size) in BLOCKS.items()}
    assert known == {kind: gguf.GGML_QUANT_SIZES[kind] for kind in known}
    assert all(gguf.GGMLQuantizationType[name] == number for name, (number, _, _) in BLOCKS.items())


def test_it_is_made_once_and_again_when_it_is_not_whole(tmp_path: Path) -> None:
    made = ensure_gguf(tmp_path)
    assert made == tmp_path / FOLDER_NAME / FILE_NAME
    before = made.stat().st_ino
    assert ensure_gguf(tmp_path).stat().st_ino == before
    whole = made.read_bytes()
    made.write_bytes(whole[:-1])
    assert ensure_gguf(tmp_path).read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER_NAME]


def test_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    (tmp_path / f".{FOLDER_NAME}-x").mkdir()
    ensure_gguf(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER_NAME]
