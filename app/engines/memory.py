"""How the free memory is shared out: adapters that stay loaded, then the KV cache of a CPU host.

On a GPU host vLLM sizes the KV cache (`gpu_memory_utilization`), and only the adapters' copies are in host memory.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from app.engines.checkpoint import read_config
from app.errors import StartupError
from app.settings import Model
from app.types import MAX_LORA_RANK

GIB: Final = 1024**3
HEADROOM_BYTES: Final = 2 * GIB
"""For the program itself: the server, vLLM's processes, activations."""

BYTES_PER_VALUE: Final = 2
"""bfloat16 or float16, which every Mistral runs in."""

BLOCK_TOKENS: Final = 128
"""vLLM's KV block on a CPU; it keeps one block for itself."""

SEQUENCES_WANTED: Final = 32
"""Sequences of full length that should fit when memory allows: more rarely helps on a CPU."""

ADAPTERS_SHARE: Final = 4
"""Adapters get one part in so many of what the weights, the program and the smallest KV cache leave."""

MAX_RESIDENT: Final = 256
"""Adapters that are kept loaded unless the settings say more: their bookkeeping is in every step of the engine."""

PARALLEL_SIZES: Final = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
"""vLLM's arguments whose product is its number of worker processes."""

CPU_COPIES: Final = 2
"""What vLLM has of a loaded adapter on a CPU: the copy that it read, and the slot that it computes with."""

_CGROUP: Final = Path("/sys/fs/cgroup")


def kv_cache_bytes(
    weights: Path,
    *,
    weights_bytes: int,
    adapters_bytes: int,
    max_model_len: int,
    kv_cache_gib: float | None,
    available_bytes: int,
) -> int:
    """Bytes for the KV cache: `kv_cache_gib` when set, else whole GiB from what weights and adapters leave.

    `weights_bytes` and `adapters_bytes` are what these take in memory, `max_model_len` is in tokens. Raises
    `StartupError` with the numbers when not even one sequence of full length fits.
    """
    needed = sequence_bytes(weights, max_model_len)
    if kv_cache_gib is not None:
        return _large_enough(int(kv_cache_gib * GIB), needed, max_model_len)
    free = available_bytes - weights_bytes - HEADROOM_BYTES - adapters_bytes
    if free < needed:
        raise StartupError(
            f"not enough memory: a KV cache for one sequence of {max_model_len} tokens needs "
            f"{_gib(needed)}, but of {_gib(available_bytes)} free only {_gib(max(free, 0))} "
            f"are left after the weights ({_gib(weights_bytes)}), the adapters ({_gib(adapters_bytes)}) and "
            f"{_gib(HEADROOM_BYTES)} for the program; end other programs, serve a card with a smaller context "
            f"or set max_adapters_resident or max_adapters_in_batch lower"
        )
    wanted = -(-needed * SEQUENCES_WANTED // GIB) * GIB
    return min(wanted, max(free // GIB * GIB, needed))


def adapters_that_fit(weights: Path, *, at_least: int, free_bytes: int, copies: int) -> int:
    """How many adapters may stay loaded when the settings don't say: from `at_least` to `MAX_RESIDENT`.

    `free_bytes` is what the weights, the program and the smallest KV cache leave of the memory that holds
    `copies` copies of each. What is stored has no part in it.
    """
    in_share = max(free_bytes, 0) // ADAPTERS_SHARE // (adapter_bytes(weights) * copies)
    return max(min(in_share, MAX_RESIDENT), at_least)


def cpu_adapters_bytes(weights: Path, resident: int) -> int:
    """Memory of a CPU host's adapters, at most."""
    return CPU_COPIES * resident * adapter_bytes(weights)


def adapter_bytes(weights: Path) -> int:
    """The largest adapter there may be: rank `MAX_LORA_RANK` on all seven modules. Raises `StartupError`.

    A module with n inputs and m outputs has rank x n values in its A and m x rank in its B.
    """
    config = read_config(weights)
    with _configuration(weights):
        hidden, mlp = config["hidden_size"], config["intermediate_size"]
        heads, kv_heads, head_dim = _heads(config)
        attention = 2 * (hidden + heads * head_dim) + 2 * (hidden + kv_heads * head_dim)
        features = attention + 3 * (hidden + mlp)
        return int(config["num_hidden_layers"] * features * MAX_LORA_RANK * BYTES_PER_VALUE)


def sequence_bytes(weights: Path, max_model_len: int) -> int:
    """KV cache bytes of one sequence of `max_model_len` tokens: whole blocks, and the one that vLLM keeps."""
    blocks = -(-max_model_len // BLOCK_TOKENS) + 1
    return blocks * BLOCK_TOKENS * token_bytes(weights)


def token_bytes(weights: Path) -> int:
    """KV cache bytes per token: a key and a value per layer and KV head. Raises `StartupError`."""
    config = read_config(weights)
    with _configuration(weights):
        _, kv_heads, head_dim = _heads(config)
        return int(2 * config["num_hidden_layers"] * kv_heads * head_dim * BYTES_PER_VALUE)


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that can be had without swapping and within the limit of the container, if there is one."""
    available = int(psutil.virtual_memory().available)
    limit = _limit_bytes(cgroup)
    return available if limit is None else min(available, limit)


def _heads(config: dict[str, Any]) -> tuple[int, int, int]:
    """Attention heads, key and value heads, and the size of one."""
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return heads, config.get("num_key_value_heads") or heads, head_dim


@dataclass(frozen=True, slots=True)
class Shares:
    """`adapters_resident` is a count; `kv_cache_bytes` None leaves it to vLLM, which knows a GPU's memory."""

    adapters_resident: int
    kv_cache_bytes: int | None


def cpu_host_shares(
    model: Model, weights: Path, *, weights_bytes: int, max_model_len: int, available_bytes: int
) -> Shares:
    """Weights, adapters and KV cache are in the same memory. Raises `StartupError` when it does not suffice."""
    kv_cache = _kv_cache_as_set(model) or sequence_bytes(weights, max_model_len)
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
    return Shares(resident, _kv_cache_as_set(model))


def workers(model: Model) -> int:
    """vLLM's number of worker processes. vLLM itself checks the sizes: what is no size counts as 1 here."""
    sizes = [model.vllm.get(name) for name in PARALLEL_SIZES]
    return math.prod(size for size in sizes if isinstance(size, int) and size > 0)


@contextmanager
def _configuration(weights: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise StartupError(
            f"{weights / 'config.json'}: not the configuration of a transformer: {error}"
        ) from error


def _large_enough(size: int, needed: int, max_model_len: int) -> int:
    if size < needed:
        raise StartupError(
            f"kv_cache_gib is too small: one sequence of {max_model_len} tokens needs {_gib(needed)}, "
            f"found {_gib(size)}"
        )
    return size


def _limit_bytes(cgroup: Path) -> int | None:
    """What the cgroup (version 2) still allows: its limit less what is used, without file cache."""
    try:
        limit = (cgroup / "memory.max").read_text("ascii").strip()
        used = int((cgroup / "memory.current").read_text("ascii"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text("ascii").splitlines())
    except OSError:  # no container, or version 1
        return None
    cached = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
    return None if limit == "max" else max(int(limit) - used + cached, 0)


def _kv_cache_as_set(model: Model) -> int | None:
    return None if model.kv_cache_gib is None else int(model.kv_cache_gib * GIB)


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
