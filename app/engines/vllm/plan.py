"""From a [[models]] entry to what vLLM is started with on this machine, and why.

GPTQ and AWQ checkpoints that vLLM 0.32 can't compute are refused by their own configuration: vLLM finds out in a child
process and ends with a page of stack trace. What it takes: `AutoGPTQConfig`, `AutoAWQConfig` and `marlin_utils.py` in its
`model_executor/layers/quantization`. Other packings are left to vLLM.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from app.engines.checkpoint import CONFIG_FILE, check_weights, read_config
from app.engines.choices import SET, TunedSetting, adapters_setting, free_memory
from app.engines.cpu_host import read_host
from app.engines.deployment import Deployment
from app.engines.memory import (
    GIB,
    SEQUENCES_WANTED,
    Shares,
    available_bytes,
    cpu_host_shares,
    gpu_host_shares,
    sequence_bytes,
    workers,
)
from app.engines.vllm.args import engine_arguments
from app.engines.vllm.compat import CPU_BUILD, check_release, installed
from app.engines.vllm.cpu_tuning import EXECUTOR, IN_PROCESS, Tuning, tune
from app.engines.vllm.start import VllmPlan
from app.errors import SettingsError, StartupError
from app.logs import log_startup
from app.settings import Model

DEFAULT_PREFILL_TOKENS: Final = 8192
MAX_NUM_SEQS: Final = 256
"""vLLM's own number for a server on a GPU."""

SHORTER_THAN_FULL: Final = 4
"""Requests take a part of the context; with more of them in a step than the KV cache holds, vLLM drops and recomputes."""

EXPORTED: Final = dict(os.environ)
"""As the operator left it: starting vLLM adds to the environment of this process."""
NO_TUNING: Final = Tuning({}, {}, ())
ONE_PROCESS: Final = Tuning({EXECUTOR: IN_PROCESS}, {}, ())
"""As vLLM computes by default where it has one worker, but for the ports that it would open."""

GPTQ_BITS: Final = (4, 8)
CPU_GPTQ_BITS: Final = 4
AWQ_BITS: Final = 4

UNPACKED_BITS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({"gptq": (2, 4, 8), "awq": (4,)})
"""What the engine transformers takes."""

GROUP_SIZES: Final = (-1, 32, 64, 128)
"""Inputs that share a scale; -1 is one group of all."""


def plan(deployment: Deployment, exported: Mapping[str, str] = EXPORTED) -> VllmPlan:
    """What vLLM is started with. Raises StartupError when weights or memory don't suffice."""
    model, folder, max_model_len = deployment.model, deployment.path, deployment.max_total_tokens
    check_release(any_release=model.any_vllm_release)
    weights_bytes = check_weights(folder)
    cpu = is_cpu_build()
    check_quantized(folder, cpu=cpu)
    free = available_bytes()
    shares = _shares(model, folder, weights_bytes, max_model_len, free, cpu=cpu)
    tuning = _tuning(model, exported) if cpu else _on_gpu(model)
    running = _running(folder, shares.kv_cache_bytes, max_model_len)
    arguments = engine_arguments(
        weights=folder,
        chosen={"max_num_seqs": running, **tuning.arguments},
        user_args=model.vllm,
        max_model_len=max_model_len,
        max_num_batched_tokens=deployment.max_prefill_tokens or DEFAULT_PREFILL_TOKENS,
        max_loras=model.max_adapters_in_batch,
        max_cpu_loras=shares.adapters_resident,
        adapters=model.adapters,
        cpu=cpu,
        kv_cache_bytes=shares.kv_cache_bytes,
    )
    choices = (*tuning.choices, *_choices(model, arguments, shares, free, cpu=cpu))
    log_startup("weights checked, settings chosen")
    return VllmPlan(arguments, tuning.environment, shares.adapters_resident, choices)


def is_cpu_build() -> bool:
    """Whether the installed vLLM is the CPU distribution. Raises SettingsError when there is none."""
    found = installed()
    if found is None:
        raise SettingsError("the engine vllm is not installed: run `make serve`, or set engine to another")
    return found[0] == CPU_BUILD


def _tuning(model: Model, exported: Mapping[str, str]) -> Tuning:
    executor = model.vllm.get(EXECUTOR)
    return tune(read_host(), workers=workers(model), executor=executor, exported=exported)


def _on_gpu(model: Model) -> Tuning:
    return ONE_PROCESS if workers(model) == 1 and EXECUTOR not in model.vllm else NO_TUNING


def _shares(
    model: Model, folder: Path, weights_bytes: int, max_model_len: int, free_bytes: int, *, cpu: bool
) -> Shares:
    if not cpu:
        return gpu_host_shares(model, folder, available_bytes=free_bytes)
    return cpu_host_shares(
        model, folder, weights_bytes=weights_bytes, max_model_len=max_model_len, available_bytes=free_bytes
    )


def _running(folder: Path, kv_cache_bytes: int | None, max_model_len: int) -> int:
    """How many requests a step may have."""
    if kv_cache_bytes is None:
        return MAX_NUM_SEQS
    return min(kv_cache_bytes * SHORTER_THAN_FULL // sequence_bytes(folder, max_model_len), MAX_NUM_SEQS)


def _choices(
    model: Model, arguments: Mapping[str, Any], shares: Shares, free_bytes: int, *, cpu: bool
) -> Iterator[TunedSetting]:
    running = arguments["max_num_seqs"]
    most = f"vLLM's own limit is {MAX_NUM_SEQS}"
    fitting = most if running == MAX_NUM_SEQS else "as many of usual length as the KV cache holds"
    yield _argument("requests in a step", str(running), fitting, "max_num_seqs", model)
    free = free_memory(free_bytes)
    if shares.kv_cache_bytes is None:
        why = "its share of the GPU's memory"
        yield _argument("KV cache", "vLLM's", why, "gpu_memory_utilization", model)
    else:
        size = f"{shares.kv_cache_bytes / GIB:.1f} GiB"
        why = f"for {SEQUENCES_WANTED} requests of full length at most; {free}"
        yield TunedSetting("KV cache", size, SET if model.kv_cache_gib else why, "kv_cache_gib")
    if model.adapters:
        by_hand = bool(model.max_adapters_resident)
        yield adapters_setting(shares.adapters_resident, by_hand=by_hand, free_bytes=free_bytes)
    if cpu and model.adapters:
        yield TunedSetting("compiled", "no", "vLLM on a CPU does that only without LoRA", "adapters")
    else:
        compiled = "no" if arguments["enforce_eager"] else "yes"
        yield _argument("compiled", compiled, "faster steps for a longer start", "enforce_eager", model)


def _argument(name: str, value: str, reason: str, argument: str, model: Model) -> TunedSetting:
    return TunedSetting(name, value, SET if argument in model.vllm else reason, f"vllm.{argument}")


def check_quantized(folder: Path, *, cpu: bool) -> None:
    """Raise StartupError, naming the engine that can, for a checkpoint that vLLM can't compute on such a host."""
    packing = read_config(folder).get("quantization_config")
    if not isinstance(packing, dict):
        return
    method = str(packing.get("quant_method"))
    find = {"gptq": _gptq_mistake, "awq": _awq_mistake}.get(method)
    mistake = find and find(packing, cpu)
    if mistake:
        known = packing.get("bits") in UNPACKED_BITS[method]
        advice = 'set engine to "transformers", which unpacks them' if known else "take another checkpoint"
        raise StartupError(f"weights: {folder / CONFIG_FILE}: {mistake}: {advice}")


def _gptq_mistake(packing: Mapping[str, Any], cpu: bool) -> str | None:
    bits, group_size = packing.get("bits"), packing.get("group_size")
    if bits not in GPTQ_BITS:
        return f"vLLM loads GPTQ weights of 4 or 8 bits, found {bits!r}"
    if cpu and bits != CPU_GPTQ_BITS:
        return f"vLLM computes GPTQ weights of {bits} bits on a GPU only, on a CPU those of {CPU_GPTQ_BITS}"
    if packing.get("desc_act") and group_size != -1:
        return f"vLLM 0.32 does not load GPTQ weights with act order and groups (here of {group_size!r})"
    if packing.get("sym") is not True:
        return f'vLLM loads symmetric GPTQ weights only ("sym": true), found {packing.get("sym")!r}'
    return _group_mistake("GPTQ", group_size)


def _awq_mistake(packing: Mapping[str, Any], cpu: bool) -> str | None:
    """With AutoAWQ's own names of the keys too."""
    bits = packing.get("bits", packing.get("w_bit"))
    if bits != AWQ_BITS:
        return f"vLLM loads AWQ weights of {AWQ_BITS} bits, found {bits!r}"
    return _group_mistake("AWQ", packing.get("group_size", packing.get("q_group_size"))) if cpu else None


def _group_mistake(name: str, group_size: object) -> str | None:
    known = ", ".join(map(str, GROUP_SIZES))
    if group_size in GROUP_SIZES:
        return None
    return f"vLLM loads {name} weights in groups of {known}, found {group_size!r}"
