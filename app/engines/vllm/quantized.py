"""GPTQ and AWQ checkpoints that vLLM 0.32 can't compute, refused by their own configuration before it starts.

vLLM finds out in a child process and ends with a page of stack trace. What it takes: `AutoGPTQConfig`, `AutoAWQConfig`
and `marlin_utils.py` in its `model_executor/layers/quantization`. Other packings are left to vLLM.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from app.engines.checkpoint import CONFIG_FILE, read_config
from app.errors import StartupError

GPTQ_BITS: Final = (4, 8)
CPU_GPTQ_BITS: Final = 4
AWQ_BITS: Final = 4

UNPACKED_BITS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType({"gptq": (2, 4, 8), "awq": (4,)})
"""What the engine transformers takes."""

GROUP_SIZES: Final = (-1, 32, 64, 128)
"""Inputs that share a scale; -1 is one group of all."""


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
