"""Adapters made by hand, byte by byte: what no library would write must be writable here."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from app.adapters.inspection.base_model import BaseShape

TINY = BaseShape(
    name="tiny-mistral",
    hidden_size=32,
    intermediate_size=48,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    num_hidden_layers=2,
    vocab_size=64,
)
RANK = 4
PREFIX = "base_model.model.model.layers"
Q_A = f"{PREFIX}.0.self_attn.q_proj.lora_A.weight"
Q_B = f"{PREFIX}.0.self_attn.q_proj.lora_B.weight"
V_A = f"{PREFIX}.0.self_attn.v_proj.lora_A.weight"
V_B = f"{PREFIX}.0.self_attn.v_proj.lora_B.weight"


@dataclass
class Adapter:
    """`tensors` maps names to float32 arrays; `dtypes` says how one is stored where that isn't F32."""

    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    dtypes: dict[str, str] = field(default_factory=dict)
    metadata: Any = field(default_factory=lambda: {"format": "pt"})
    config_data: bytes | None = None
    weights_data: bytes | None = None

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps(self.config).encode() if self.config_data is None else self.config_data
        (folder / "adapter_config.json").write_bytes(config)
        (folder / "adapter_model.safetensors").write_bytes(self.weights())
        return folder

    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = {"__metadata__": self.metadata}
        start = 0
        for name, values in self.tensors.items():
            end = start + len(self.encoded(name))
            dtype = self.dtypes.get(name, "F32")
            header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [start, end]}
            start = end
        return header

    def encoded(self, name: str) -> bytes:
        return encode(self.tensors[name], self.dtypes.get(name, "F32"))

    def data(self) -> bytes:
        return b"".join(self.encoded(name) for name in self.tensors)

    def weights(self) -> bytes:
        if self.weights_data is not None:
            return self.weights_data
        return file_bytes(json.dumps(self.header()).encode(), self.data())


def encode(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    if dtype == "BF16":
        return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype("<f4").tobytes()


def file_bytes(header: bytes, data: bytes, length: int | None = None) -> bytes:
    """A safetensors file; `length` is what it claims about its header."""
    claimed = len(header) if length is None else length
    return claimed.to_bytes(8, "little") + header + data


def module_tensors(
    layer: int, module: str, rank: int = RANK, base: BaseShape = TINY
) -> dict[str, np.ndarray]:
    features_in, features_out = base.module_shape(module)
    block = "self_attn" if module in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
    generator = np.random.default_rng(layer)
    name = f"{PREFIX}.{layer}.{block}.{module}"
    return {
        f"{name}.lora_A.weight": generator.normal(0, 0.1, (rank, features_in)).astype("<f4"),
        f"{name}.lora_B.weight": generator.normal(0, 0.1, (features_out, rank)).astype("<f4"),
    }


def good(modules: tuple[str, ...] = ("q_proj", "v_proj"), **config: Any) -> Adapter:
    """An adapter that passes: rank 4, alpha 8, on both layers."""
    tensors: dict[str, np.ndarray] = {}
    for layer in range(TINY.num_hidden_layers):
        for module in modules:
            tensors |= module_tensors(layer, module)
    settings = {
        "peft_type": "LORA",
        "model_type": "mistral",
        "task_type": "CAUSAL_LM",
        "bias": "none",
        "r": RANK,
        "lora_alpha": 8,
        "target_modules": list(modules),
    }
    return Adapter(settings | config, tensors)
