"""What the engine `transformers` is started with on this machine, and why.

Quantized weights do not take in memory what they take on disk: `resident_bytes` counts it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from app.engines.checkpoint import check_weights, read_config
from app.engines.choices import SET, TunedSetting, adapters_setting, free_memory
from app.engines.cpu_host import chosen_threads
from app.engines.deployment import Deployment, LoadQuantization
from app.engines.memory import GIB, SEQUENCES_WANTED, Shares, available_bytes, cpu_host_shares, token_bytes
from app.errors import StartupError
from app.settings import Model

Quantization = Literal["none", "8-bit", "4-bit", "gptq", "awq"]

STEP_TOKENS: Final = 256
"""Tokens of prompts in one step. Long ones are read in pieces of it, so that running answers go on meanwhile."""

MAX_ROWS: Final = 64
"""Requests that are answered at once: the work outside of the matrices is done for each of them in turn."""

BYTES_PER_VALUE: Final[Mapping[str, int]] = MappingProxyType({"bfloat16": 2, "float16": 2, "float32": 4})

QUANTIZED_BYTES: Final[Mapping[str, float]] = MappingProxyType({"8-bit": 1.01, "4-bit": 0.53})
"""Bytes per value of a matrix as bitsandbytes keeps it: with a scale per row, or per 64 values, scaled again."""


@dataclass(frozen=True, slots=True)
class TransformersPlan:
    """`dtype` is torch's name. `kv_tokens` bounds the tokens that all running requests may have together, each counted
    with the longest answer that it allows; it is never below `max_model_len`. `slots` adapters stay loaded. `device` is
    torch's name, `threads` those of one computation. `choices` are for people.
    """

    folder: Path
    dtype: str
    quantization: Quantization
    max_model_len: int
    slots: int
    max_rows: int
    kv_tokens: int
    device: str = "cpu"
    threads: int = 1
    step_tokens: int = STEP_TOKENS
    choices: tuple[TunedSetting, ...] = ()


def plan(deployment: Deployment) -> TransformersPlan:
    """What transformers is started with. A checkpoint that is quantized already must be asked for with "none".

    Imports torch: call it in a thread. Raises StartupError when weights or memory don't suffice.
    """
    model, folder, max_model_len = deployment.model, deployment.path, deployment.max_total_tokens
    check_weights(folder)
    config = read_config(folder)
    kind, dtype = _kind(folder, config, deployment.quantization), _dtype(folder, config)
    device, free = _device()
    shares = cpu_host_shares(
        model,
        folder,
        weights_bytes=resident_bytes(folder, kind, dtype),
        max_model_len=max_model_len,
        available_bytes=free,
    )
    kv_tokens = _kv_tokens(folder, dtype, shares, max_model_len)
    threads, threads_choice = chosen_threads()
    return TransformersPlan(
        folder=folder,
        dtype=dtype,
        quantization=kind,
        max_model_len=max_model_len,
        slots=shares.adapters_resident,
        max_rows=MAX_ROWS,
        kv_tokens=kv_tokens,
        device=device,
        threads=threads,
        choices=(
            TunedSetting(
                "runs on", device, "a GPU where torch finds one", "the environment's CUDA_VISIBLE_DEVICES"
            ),
            threads_choice,
            TunedSetting("weights", dtype if kind == "none" else kind, _why(kind, dtype), "weights"),
            *_memory_choices(model, shares, kv_tokens, free),
        ),
    )


def _kind(folder: Path, config: Mapping[str, Any], requested: LoadQuantization) -> Quantization:
    own = config.get("quantization_config")
    if own is None:
        return requested
    method = own.get("quant_method") if isinstance(own, dict) else None
    if method not in ("gptq", "awq"):
        raise StartupError(
            f"weights: {folder / 'config.json'}: quant_method {method!r} is not one that the engine transformers reads: "
            f'expected "gptq" or "awq", or weights without quantization_config'
        )
    if requested != "none":
        raise StartupError(
            f'weights: {folder} is quantized already ({method}): set quantization to "none", found "{requested}"'
        )
    kind: Quantization = method
    return kind


def _dtype(folder: Path, config: Mapping[str, Any]) -> str:
    """As the checkpoint says; transformers' files before 5 call the key `torch_dtype`."""
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    if dtype not in BYTES_PER_VALUE:
        known = ", ".join(BYTES_PER_VALUE)
        raise StartupError(
            f"weights: {folder / 'config.json'}: dtype must be one of {known}, found {dtype!r}"
        )
    return str(dtype)


def _device() -> tuple[str, int]:
    """Where the model runs, and the bytes that are free there."""
    import torch  # noqa: PLC0415  seconds of import, in the thread that plans

    if torch.cuda.is_available():
        return "cuda", int(torch.cuda.mem_get_info()[0])
    return "cpu", available_bytes()


def _kv_tokens(folder: Path, dtype: str, shares: Shares, max_model_len: int) -> int:
    """`app.engines.memory` counts two bytes for a value, which is all but those of float32."""
    assert shares.kv_cache_bytes is not None
    tokens = shares.kv_cache_bytes * 2 // BYTES_PER_VALUE[dtype] // token_bytes(folder)
    if tokens < max_model_len:
        raise StartupError(
            f"not enough memory: a KV cache in {dtype} for one sequence of {max_model_len} tokens does not fit into "
            f"{shares.kv_cache_bytes / GIB:.2f} GiB: serve a card with a smaller context or weights in bfloat16"
        )
    return tokens


def _memory_choices(model: Model, shares: Shares, kv_tokens: int, free_bytes: int) -> Iterator[TunedSetting]:
    why = f"{kv_tokens} tokens, for {SEQUENCES_WANTED} requests of full length at most; {free_memory(free_bytes)}"
    size = f"{(shares.kv_cache_bytes or 0) / GIB:.1f} GiB"
    yield TunedSetting("KV cache", size, SET if model.kv_cache_gib else why, "kv_cache_gib")
    if model.adapters:
        by_hand = bool(model.max_adapters_resident)
        yield adapters_setting(shares.adapters_resident, by_hand=by_hand, free_bytes=free_bytes)


def _why(kind: Quantization, dtype: str) -> str:
    if kind in ("gptq", "awq"):
        return f"unpacked to {dtype} at the start: no package computes with the packed ones on every machine"
    return "as the checkpoint says" if kind == "none" else "quantized while loading"


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
