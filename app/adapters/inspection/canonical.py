"""The adapter_config.json that the engine reads: written by us from checked values alone."""

import json
import re
from collections.abc import Callable
from typing import Any

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.lora_config import LoraSettings
from app.adapters.inspection.modules import LoraModule


def canonical_config(modules: list[LoraModule], settings: LoraSettings, base: BaseShape) -> dict[str, Any]:
    """What peft and vLLM need to serve the adapter. Target modules are those that have tensors, patterns
    those that differ from `r` and `lora_alpha`."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "inference_mode": True,
        "bias": "none",
        "modules_to_save": None,
        "r": settings.r,
        "lora_alpha": settings.alpha,
        "use_rslora": settings.use_rslora,
        "target_modules": _targets(modules, base),
        "rank_pattern": _pattern(modules, settings.rank_of, settings.r),
        "alpha_pattern": _pattern(modules, settings.alpha_of, settings.alpha),
    }


def config_bytes(config: dict[str, Any]) -> bytes:
    """The same bytes for the same configuration: they are part of the adapter's digest."""
    return (json.dumps(config, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _targets(modules: list[LoraModule], base: BaseShape) -> list[str]:
    """A kind of module where every layer has tensors for it, else the modules that have."""
    targets: set[str] = set()
    for kind in {module.kind for module in modules}:
        names = {module.name for module in modules if module.kind == kind}
        targets |= {kind} if len(names) == base.num_hidden_layers else names
    return sorted(targets)


def _pattern(modules: list[LoraModule], value_of: Callable[[str], float], default: float) -> dict[str, float]:
    """One key for a kind of module where all of them agree, else one per module.

    vLLM and peft run the keys as regular expressions that must match the end of a name at a dot, so the dots
    of a full name are escaped. Only names out of the base stand here, which can't backtrack.
    """
    pattern: dict[str, float] = {}
    for kind in sorted({module.kind for module in modules}):
        values = {module.name: value_of(module.name) for module in modules if module.kind == kind}
        distinct = set(values.values())
        if len(distinct) == 1:
            values = {kind: distinct.pop()}
        pattern |= {re.escape(name): value for name, value in values.items() if value != default}
    return pattern
