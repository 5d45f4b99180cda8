"""Which tensor belongs to which module of the base, and whether its shape fits."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.findings import finding
from app.adapters.inspection.safetensors_header import Tensor
from app.adapters.inspection.tensor_names import (
    TensorName,
    adapters_fault,
    read_name,
    unknown_name,
)
from app.errors import printable
from app.model_files.lora import WEIGHTS_FILE, LoraSettings, tensor_name
from app.types import MAX_LORA_RANK


@dataclass(frozen=True, slots=True)
class LoraModule:
    """One module with both its tensors. `name` is the module's in the base, such as
    model.layers.0.mlp.up_proj."""

    name: str
    a: Tensor
    b: Tensor

    @property
    def kind(self) -> str:
        """One of `TARGET_MODULES`."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def peft_names(self) -> dict[str, str]:
        """What its two tensors are stored as, by the names that they were sent with."""
        return {self.a.name: tensor_name(self.name, "A"), self.b.name: tensor_name(self.name, "B")}


def match_modules(tensors: tuple[Tensor, ...], base: BaseShape) -> tuple[list[LoraModule], list[str]]:
    """The modules whose two tensors fit the base, and what is wrong with all the others."""
    findings: list[str] = []
    names: list[TensorName] = []
    sides: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        name = read_name(tensor.name)
        if name is None:
            findings.append(unknown_name(tensor.name))
        elif name.layer >= base.num_hidden_layers:
            findings.append(_no_such_layer(tensor, name.layer, base))
        elif name.side in sides.setdefault(name.module, {}):
            findings.append(_twice(tensor, sides[name.module][name.side]))
        else:
            names.append(name)
            sides[name.module][name.side] = tensor
    findings.extend(adapters_fault(names))
    modules = [_pair(name, pair, base, findings) for name, pair in sides.items() if pair]
    if not sides and not findings:
        findings.append(finding(WEIGHTS_FILE, "holds no tensor", "save the adapter after training it"))
    return [module for module in modules if module is not None], findings


def _twice(tensor: Tensor, first: Tensor) -> str:
    problem = f"is for the same module and side as {printable(first.name)}"
    return finding(tensor.name, problem, "save one adapter, with one tensor for each")


def _no_such_layer(tensor: Tensor, layer: int, base: BaseShape) -> str:
    last = base.num_hidden_layers - 1
    problem = f"is for layer {layer}, {base.label} has layers 0 to {last}"
    return finding(tensor.name, problem, "the adapter was trained on another base: train it on this one")


def _pair(name: str, sides: dict[str, Tensor], base: BaseShape, findings: list[str]) -> LoraModule | None:
    if len(sides) < 2:
        (side,) = sides
        other = "B" if side == "A" else "A"
        problem = f"has no lora_{other} beside it"
        findings.append(
            finding(sides[side].name, problem, "save the adapter again with peft's save_pretrained")
        )
        return None
    module = LoraModule(name, sides["A"], sides["B"])
    faults = _shape_faults(module, base)
    findings.extend(faults)
    return None if faults else module


def _shape_faults(module: LoraModule, base: BaseShape) -> list[str]:
    features_in, features_out = base.module_shape(module.kind)
    a, b = module.a, module.b
    faults = []
    if len(a.shape) != 2 or a.shape[1] != features_in or a.shape[0] < 1:
        faults.append(_wrong_shape(a, f"[r, {features_in}]", base))
    if len(b.shape) != 2 or b.shape[0] != features_out or b.shape[1] < 1:
        faults.append(_wrong_shape(b, f"[{features_out}, r]", base))
    if not faults and a.shape[0] != b.shape[1]:
        problem = f"shape {list(b.shape)} has rank {b.shape[1]}, its lora_A has rank {a.shape[0]}"
        faults.append(finding(b.name, problem, "save the adapter again with peft's save_pretrained"))
    return faults


def _wrong_shape(tensor: Tensor, expected: str, base: BaseShape) -> str:
    problem = f"shape {list(tensor.shape)} found, {expected} expected by {base.label}"
    return finding(tensor.name, problem, "the adapter was trained on another base: train it on this one")


def settings_faults(modules: list[LoraModule], settings: LoraSettings) -> list[str]:
    """Where the tensors and adapter_config.json tell two stories: ranks, and modules that it doesn't
    target."""
    faults = []
    for module in modules:
        rank = settings.rank_of(module.name)
        if module.rank > MAX_LORA_RANK:
            problem = f"shape {list(module.a.shape)} has rank {module.rank}, must be at most {MAX_LORA_RANK}"
            faults.append(finding(module.a.name, problem, "train with a smaller rank"))
        if module.rank != rank:
            problem = f"shape {list(module.a.shape)} has rank {module.rank}, adapter_config.json says {rank}"
            faults.append(finding(module.a.name, problem, "use the two files of one save_pretrained"))
        if not settings.targets_module(module.name):
            problem = "is for a module that target_modules in adapter_config.json does not name"
            faults.append(finding(module.a.name, problem, "use the two files of one save_pretrained"))
    return faults


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
