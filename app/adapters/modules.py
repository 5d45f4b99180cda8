"""Which tensor belongs to which module of the base, and whether its shape fits."""

import re
from dataclasses import dataclass

from app.adapters.base import ATTENTION_MODULES, MLP_MODULES, TARGET_MODULES, BaseShape
from app.adapters.findings import WEIGHTS_FILE, finding
from app.adapters.header import Tensor
from app.adapters.settings import LoraSettings

# As peft's save_pretrained writes them for MistralForCausalLM.
LORA_TENSOR = re.compile(
    r"base_model\.model\.(?P<module>model\.layers\.(?P<layer>0|[1-9][0-9]{0,3})\."
    rf"(?:self_attn\.(?:{'|'.join(ATTENTION_MODULES)})|mlp\.(?:{'|'.join(MLP_MODULES)})))"
    r"\.lora_(?P<side>[AB])\.weight"
)


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


def match_modules(tensors: tuple[Tensor, ...], base: BaseShape) -> tuple[list[LoraModule], list[str]]:
    """The modules whose two tensors fit the base, and what is wrong with all the others."""
    findings: list[str] = []
    sides: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        match = LORA_TENSOR.fullmatch(tensor.name)
        if match is None:
            findings.append(_unknown(tensor))
        elif int(match["layer"]) >= base.num_hidden_layers:
            findings.append(_no_such_layer(tensor, int(match["layer"]), base))
        else:
            sides.setdefault(match["module"], {})[match["side"]] = tensor
    modules = [_pair(name, pair, base, findings) for name, pair in sides.items()]
    if not sides and not findings:
        findings.append(finding(WEIGHTS_FILE, "holds no tensor", "save the adapter after training it"))
    return [module for module in modules if module is not None], findings


def _unknown(tensor: Tensor) -> str:
    problem = "is no lora_A or lora_B weight of a module that can have one"
    return finding(tensor.name, problem, f"train with target_modules out of {', '.join(TARGET_MODULES)}")


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
        if module.rank != rank:
            problem = f"shape {list(module.a.shape)} has rank {module.rank}, adapter_config.json says {rank}"
            faults.append(finding(module.a.name, problem, "use the two files of one save_pretrained"))
        if not settings.targets_module(module.name):
            problem = "is for a module that target_modules in adapter_config.json does not name"
            faults.append(finding(module.a.name, problem, "use the two files of one save_pretrained"))
    return faults
