"""How much memory the KV cache of a CPU host gets. On a GPU host vLLM sizes it (`gpu_memory_utilization`)."""

from pathlib import Path
from typing import Final

import psutil

from app.engines.weights import read_config
from app.errors import StartupError

GIB: Final = 1024**3
HEADROOM_BYTES: Final = 2 * GIB
"""For the program itself: the server, vLLM's processes, activations, adapters."""

BYTES_PER_VALUE: Final = 2
"""bfloat16 or float16, which every Mistral runs in."""

BLOCK_TOKENS: Final = 128
"""vLLM's KV block on a CPU; it keeps one block for itself."""

SEQUENCES_WANTED: Final = 32
"""Sequences of full length that should fit when memory allows: more rarely helps on a CPU."""

_CGROUP: Final = Path("/sys/fs/cgroup")


def kv_cache_bytes(
    weights: Path,
    *,
    weights_bytes: int,
    max_model_len: int,
    kv_cache_gib: float | None,
    available_bytes: int,
) -> int:
    """Bytes for the KV cache: `kv_cache_gib` when set, else whole GiB from what is free after the weights.

    `weights_bytes` is what the weights take in memory, `max_model_len` is in tokens. Raises `StartupError`
    with the numbers when not even one sequence of full length fits.
    """
    needed = sequence_bytes(weights, max_model_len)
    if kv_cache_gib is not None:
        return _as_set(int(kv_cache_gib * GIB), needed, max_model_len)
    free = available_bytes - weights_bytes - HEADROOM_BYTES
    if free < needed:
        raise StartupError(
            f"not enough memory: a KV cache for one sequence of {max_model_len} tokens needs "
            f"{_gib(needed)}, but of {_gib(available_bytes)} free only {_gib(max(free, 0))} "
            f"are left after the weights ({_gib(weights_bytes)}) and {_gib(HEADROOM_BYTES)} for the program; "
            f"end other programs or serve a card with a smaller context"
        )
    wanted = -(-needed * SEQUENCES_WANTED // GIB) * GIB
    return min(wanted, max(free // GIB * GIB, needed))


def sequence_bytes(weights: Path, max_model_len: int) -> int:
    """KV cache bytes of one sequence of `max_model_len` tokens: whole blocks, and the one that vLLM keeps."""
    blocks = -(-max_model_len // BLOCK_TOKENS) + 1
    return blocks * BLOCK_TOKENS * token_bytes(weights)


def token_bytes(weights: Path) -> int:
    """KV cache bytes per token: a key and a value per layer and KV head. Raises `StartupError`."""
    config = read_config(weights)
    try:
        heads = config["num_attention_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        kv_heads = config.get("num_key_value_heads") or heads
        return int(2 * config["num_hidden_layers"] * kv_heads * head_dim * BYTES_PER_VALUE)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise StartupError(
            f"{weights / 'config.json'}: not the configuration of a transformer: {error}"
        ) from error


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that can be had without swapping and within the limit of the container, if there is one."""
    available = int(psutil.virtual_memory().available)
    limit = _limit_bytes(cgroup)
    return available if limit is None else min(available, limit)


def _as_set(size: int, needed: int, max_model_len: int) -> int:
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


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
