"""Adapters as GGUF: the same product of matrices, with every module's own scale."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors

from app.engines.llamacpp.gguf.adapter import converted, sweep
from app.engines.llamacpp.gguf.model import read_model
from app.engines.llamacpp.gguf.tensor_names import interleaved
from tests.engines.llamacpp.asking import example

Q, UP = "model.layers.0.self_attn.q_proj", "model.layers.2.mlp.up_proj"
SHAPES = {Q: (256, 256), UP: (512, 256)}
RANK = 4


def written(folder: Path, config: dict[str, Any], dtype: str = "F32") -> dict[tuple[str, str], np.ndarray]:
    """Two modules of random numbers; what they are, by module and side."""
    random = np.random.default_rng(1)
    arrays: dict[tuple[str, str], np.ndarray] = {}
    for module, (out, features) in SHAPES.items():
        for side, shape in (("A", (RANK, features)), ("B", (out, RANK))):
            arrays[module, side] = random.standard_normal(shape).astype(np.float16).astype(np.float32)
    files = {
        f"base_model.model.{module}.lora_{side}.weight": in_dtype(values, dtype)
        for (module, side), values in arrays.items()
    }
    specs = {
        name: safetensors.TensorSpec(
            dtype={"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[dtype],
            shape=array.shape,
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in files.items()
    }
    (folder / "adapter_model.safetensors").write_bytes(safetensors.serialize(specs))
    whole = {
        "r": RANK,
        "lora_alpha": 8,
        "use_rslora": False,
        "alpha_pattern": {},
        "rank_pattern": {},
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(whole))
    return arrays


def in_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16 if dtype == "F16" else np.float32)


def read(path: Path) -> dict[str, np.ndarray]:
    return {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, {Q: 2.0, UP: 2.0}),
        ({"use_rslora": True}, {Q: 4.0, UP: 4.0}),
        ({"alpha_pattern": {"q_proj": 16}}, {Q: 4.0, UP: 2.0}),
        ({"alpha_pattern": {r"model\.layers\.2\.mlp\.up_proj": 3}}, {Q: 2.0, UP: 0.75}),
        ({"alpha_pattern": {"roj": 100}}, {Q: 2.0, UP: 2.0}),
    ],
)
def test_each_module_has_its_own_scale(
    gguf: Path, tmp_path: Path, config: dict[str, Any], scales: dict[str, float]
) -> None:
    arrays = written(tmp_path, config)
    found = read(converted(replace(example("x"), folder=tmp_path), read_model(gguf), tmp_path / "cache"))
    assert len(found) == 4
    assert np.array_equal(found["blk.0.attn_q.weight.lora_a"], arrays[Q, "A"])
    assert np.array_equal(found["blk.2.ffn_up.weight.lora_a"], arrays[UP, "A"])
    assert np.allclose(found["blk.0.attn_q.weight.lora_b"], interleaved(arrays[Q, "B"], 4) * scales[Q])
    assert np.allclose(found["blk.2.ffn_up.weight.lora_b"], arrays[UP, "B"] * scales[UP])


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_numbers_of_every_kind(gguf: Path, tmp_path: Path, dtype: str) -> None:
    arrays = written(tmp_path, {"lora_alpha": RANK}, dtype)
    found = read(converted(replace(example("x"), folder=tmp_path), read_model(gguf), tmp_path / "cache"))
    kept = found["blk.2.ffn_up.weight.lora_b"]
    assert np.abs(kept - arrays[UP, "B"]).max() <= (2.0**-5 if dtype == "BF16" else 0)
    assert kept.dtype == np.float32


def test_it_is_converted_once(gguf: Path, tmp_path: Path) -> None:
    model, adapter = read_model(gguf), replace(example("x"), folder=tmp_path)
    written(tmp_path, {})
    first = converted(adapter, model, tmp_path / "cache")
    before = first.stat().st_ino
    assert converted(adapter, model, tmp_path / "cache") == first
    assert first.stat().st_ino == before
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    assert converted(replace(adapter, digest="c" * 64), model, tmp_path / "cache") != first


def test_what_is_no_adapter_leaves_nothing(gguf: Path, tmp_path: Path) -> None:
    written(tmp_path, {})
    (tmp_path / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (tmp_path / "adapter_config.json").write_text("nothing")
    with pytest.raises(ValueError, match="Expecting value"):
        converted(replace(example("x"), folder=tmp_path), read_model(gguf), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.gguf"))


def test_nothing_is_left_of_a_write_that_failed(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: Path, tensors: object) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.engines.llamacpp.gguf.adapter._write_part", full)
    with pytest.raises(OSError, match="No space"):
        converted(example("pirate"), read_model(gguf), tmp_path)
    assert not list(tmp_path.glob("*-*"))


def test_files_of_adapters_that_are_gone_go(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = (converted(example(name), read_model(gguf), tmp_path) for name in ("pirate", "json"))
    monkeypatch.setattr("app.engines.llamacpp.gguf.adapter.CONVERSION", 0)
    older = converted(example("pirate"), read_model(gguf), tmp_path)
    monkeypatch.undo()
    cut = kept.with_suffix(".part")
    others = tmp_path / "mistral-0a-1.gguf", tmp_path / "mistral-0a-1.part"  # nothing of ours
    for path in (cut, *others):
        path.write_bytes(b"")
    digests = {example("pirate").digest}
    sweep(tmp_path, digests)
    assert [path.exists() for path in (kept, gone, older, cut, *others)] == [
        True,
        False,
        False,
        False,
        True,
        True,
    ]
    sweep(tmp_path / "nowhere", digests)
