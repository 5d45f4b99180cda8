"""What weights take in memory once they are loaded, which for quantized ones is not their size on disk."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from app.engines.checkpoint import read_config
from app.errors import StartupError

BYTES_PER_VALUE: Final[Mapping[str, int]] = MappingProxyType({"bfloat16": 2, "float16": 2, "float32": 4})

QUANTIZED_BYTES: Final[Mapping[str, float]] = MappingProxyType({"8-bit": 1.01, "4-bit": 0.53})
"""Bytes per value of a matrix as bitsandbytes keeps it: with a scale per row, or per 64 values, scaled again."""


def resident_bytes(weights: Path, quantization: str, dtype: str) -> int:
    """Bytes of the loaded weights. Embedding and head are never quantized; norms are too small to count.

    Raises StartupError for a configuration that is none.
    """
    config = read_config(weights)
    try:
        matrices, tables = _matrices(config), _tables(config)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise StartupError(
            f"{weights / 'config.json'}: not the configuration of a transformer: {error}"
        ) from error
    whole = BYTES_PER_VALUE[dtype]
    return int(tables * whole + matrices * QUANTIZED_BYTES.get(quantization, whole))


def _matrices(config: Mapping[str, Any]) -> int:
    """Values in the seven matrices of all layers."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    layer = hidden * (2 * heads * head_dim + 2 * kv_heads * head_dim + 3 * config["intermediate_size"])
    return int(config["num_hidden_layers"] * layer)


def _tables(config: Mapping[str, Any]) -> int:
    """Values in embedding and head, which may be one."""
    return int(config["vocab_size"] * config["hidden_size"] * (1 if config.get("tie_word_embeddings") else 2))
