"""What weights take in memory once they are loaded, which for quantized ones is not their size on disk."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from app.adapters.base import TARGET_MODULES, read_base
from app.engines.weights import read_config

BYTES_PER_VALUE: Final[Mapping[str, int]] = MappingProxyType({"bfloat16": 2, "float16": 2, "float32": 4})

QUANTIZED_BYTES: Final[Mapping[str, float]] = MappingProxyType({"8-bit": 1.01, "4-bit": 0.53})
"""Bytes per value of a matrix as bitsandbytes keeps it: with a scale per row, or per 64 values, scaled again."""


def resident_bytes(weights: Path, quantization: str, dtype: str) -> int:
    """Bytes of the loaded weights. Embedding and head are never quantized; norms are too small to count.

    Raises StartupError for a configuration that is none.
    """
    base = read_base(weights)
    matrices = base.num_hidden_layers * sum(
        inputs * outputs for inputs, outputs in map(base.module_shape, TARGET_MODULES)
    )
    tied = bool(read_config(weights).get("tie_word_embeddings", False))
    tables = base.vocab_size * base.hidden_size * (1 if tied else 2)
    whole = BYTES_PER_VALUE[dtype]
    return int(tables * whole + matrices * QUANTIZED_BYTES.get(quantization, whole))
