"""Mistral 7B's shape without its weights: files of the right names, shapes and sizes that take no room on the disk."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import save_file

from app.standin.tokenizer import tokenizer_config, tokenizer_json, tokenizer_model_path

SHAPE: Final[dict[str, Any]] = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32_768,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "sliding_window": None,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}
"""`config.json` of mistralai/Mistral-7B-Instruct-v0.2."""

BYTES: Final = 2
RANK: Final = 32


def write_model(folder: Path) -> Path:
    """A folder as the original's repository has it; the tensors' bytes are a hole in the file."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SHAPE))
    (folder / "tokenizer.json").write_text(tokenizer_json(tokenizer_model_path()))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config()))
    header, end = {}, 0
    for name, shape in tensors():
        begin, end = end, end + BYTES * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + end)
    return folder


def write_adapter(folder: Path, seed: int) -> Path:
    """An adapter on every linear layer, of the largest rank that the server takes, with small random numbers."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(seed)
    matrices = {}
    for module, (rows, columns) in _linear():
        for part, shape in (("lora_A", (RANK, columns)), ("lora_B", (rows, RANK))):
            values = numbers.standard_normal(shape, dtype=np.float32) / 100
            matrices[f"base_model.model.{module}.{part}.weight"] = values.astype(np.float16)
    save_file(matrices, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "model_type": "mistral",
        "r": RANK,
        "lora_alpha": RANK,
        "target_modules": sorted({module.rsplit(".", 1)[-1] for module, _ in _linear()}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def tensors() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each tensor."""
    hidden, vocabulary = SHAPE["hidden_size"], SHAPE["vocab_size"]
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for module, shape in _linear():
        yield f"{module}.weight", shape
    for layer in range(SHAPE["num_hidden_layers"]):
        yield f"model.layers.{layer}.input_layernorm.weight", (hidden,)
        yield f"model.layers.{layer}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def _linear() -> Iterator[tuple[str, tuple[int, int]]]:
    """Every linear layer's name and shape, output features first."""
    hidden, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    few = hidden * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    for layer in range(SHAPE["num_hidden_layers"]):
        for name, shape in (
            ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.k_proj", (few, hidden)),
            ("self_attn.v_proj", (few, hidden)),
            ("self_attn.o_proj", (hidden, hidden)),
            ("mlp.gate_proj", (inner, hidden)),
            ("mlp.up_proj", (inner, hidden)),
            ("mlp.down_proj", (hidden, inner)),
        ):
            yield f"model.layers.{layer}.{name}", shape
