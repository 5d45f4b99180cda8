"""What a checked LoRA adapter means: its two files, the names of its tensors, and each module's scale.

Inspection and the engines that compute it themselves ask the same functions, so what was checked is what is served.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"

STORED: Final = re.compile(
    r"base_model\.model\.(?P<module>model\.layers\.(?P<layer>\d+)\.(?:self_attn|mlp)\.(?P<kind>\w+))"
    r"\.lora_(?P<side>[AB])\.weight"
)
"""A tensor of a stored adapter."""


class StoredTensor(NamedTuple):
    """What a tensor is for. `module` is the module's name in the base, `kind` the end of it, `side` "A" or "B"."""

    module: str
    layer: int
    kind: str
    side: str


def tensor_name(module: str, side: str) -> str:
    """As peft's save_pretrained writes it: what is stored."""
    return f"base_model.model.{module}.lora_{side}.weight"


def read_tensor_name(name: str) -> StoredTensor:
    """The reverse of `tensor_name`. Raises ValueError."""
    match = STORED.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is not a tensor of an adapter")
    return StoredTensor(match["module"], int(match["layer"]), match["kind"], match["side"])


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """What decides shapes and scale. Pattern keys are literal module names or endings of them, at a dot.

    `rank_pattern` and `alpha_pattern` override `r` and `alpha` for a module; the first key that fits wins, as
    in peft's `get_pattern_key`.
    """

    r: int
    alpha: float
    use_rslora: bool
    targets: tuple[str, ...] | None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    ranks_by_tensors: bool = False

    def rank_of(self, module: str) -> int:
        return next((rank for key, rank in self.rank_pattern.items() if fits(key, module)), self.r)

    def alpha_of(self, module: str) -> float:
        return next((alpha for key, alpha in self.alpha_pattern.items() if fits(key, module)), self.alpha)

    def scale_of(self, module: str) -> float:
        """The factor on B times A: alpha / r, or alpha / sqrt(r) with rank stabilisation (arXiv
        2312.03732)."""
        rank = self.rank_of(module)
        return self.alpha_of(module) / (math.sqrt(rank) if self.use_rslora else rank)

    def targets_module(self, module: str) -> bool:
        return self.targets is None or any(fits(target, module) for target in self.targets)

    def with_ranks(self, ranks: dict[str, int]) -> "LoraSettings":
        """With the ranks that the tensors have, by module, where they are to say it."""
        return replace(self, rank_pattern=ranks) if self.ranks_by_tensors else self


def fits(key: str, module: str) -> bool:
    """Whether `key` is the module's name or the end of it, starting at a dot."""
    return module == key or module.endswith(f".{key}")


def settings_of(config: Mapping[str, Any]) -> LoraSettings:
    """Of the configuration that is stored, whose patterns are escaped names (`canonical_config`)."""
    return LoraSettings(
        r=config["r"],
        alpha=config["lora_alpha"],
        use_rslora=bool(config.get("use_rslora")),
        targets=None,
        rank_pattern=_literal(config.get("rank_pattern")),
        alpha_pattern=_literal(config.get("alpha_pattern")),
    )


def _literal(pattern: Mapping[str, Any] | None) -> dict[str, Any]:
    """peft and vLLM run the keys as regular expressions: without the escapes they are names."""
    return {key.replace("\\.", "."): value for key, value in (pattern or {}).items()}
