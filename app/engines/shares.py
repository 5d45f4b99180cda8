"""Who gets what of the memory, for one engine with its settings."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.engines.memory import (
    CPU_COPIES,
    GIB,
    HEADROOM_BYTES,
    adapters_that_fit,
    cpu_adapters_bytes,
    kv_cache_bytes,
    sequence_bytes,
)
from app.settings import Model

PARALLEL_SIZES: Final = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
"""vLLM's arguments whose product is its number of worker processes."""


@dataclass(frozen=True, slots=True)
class Shares:
    """`adapters_resident` is a count; `kv_cache_bytes` None leaves it to vLLM, which knows a GPU's memory."""

    adapters_resident: int
    kv_cache_bytes: int | None


def cpu_host_shares(
    model: Model, weights: Path, *, weights_bytes: int, max_model_len: int, available_bytes: int
) -> Shares:
    """Weights, adapters and KV cache are in the same memory. Raises `StartupError` when it does not suffice."""
    kv_cache = _as_set(model) or sequence_bytes(weights, max_model_len)
    resident = model.max_adapters_resident or adapters_that_fit(
        weights,
        at_least=model.max_adapters_in_batch,
        free_bytes=available_bytes - weights_bytes - HEADROOM_BYTES - kv_cache,
        copies=CPU_COPIES,
    )
    kv_cache = kv_cache_bytes(
        weights,
        weights_bytes=weights_bytes,
        adapters_bytes=cpu_adapters_bytes(weights, resident) if model.adapters else 0,
        max_model_len=max_model_len,
        kv_cache_gib=model.kv_cache_gib,
        available_bytes=available_bytes,
    )
    return Shares(resident, kv_cache)


def gpu_host_shares(model: Model, weights: Path, *, available_bytes: int) -> Shares:
    """Weights and KV cache are on the GPU; each of vLLM's workers has a copy of the adapters in the host's memory."""
    resident = model.max_adapters_resident or adapters_that_fit(
        weights,
        at_least=model.max_adapters_in_batch,
        free_bytes=available_bytes - HEADROOM_BYTES,
        copies=workers(model),
    )
    return Shares(resident, _as_set(model))


def _as_set(model: Model) -> int | None:
    return None if model.kv_cache_gib is None else int(model.kv_cache_gib * GIB)


def workers(model: Model) -> int:
    """vLLM's number of worker processes. vLLM itself checks the sizes: what is no size counts as 1 here."""
    sizes = [model.vllm.get(name) for name in PARALLEL_SIZES]
    return math.prod(size for size in sizes if isinstance(size, int) and size > 0)
