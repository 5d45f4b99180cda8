"""The LoRA settings of an adapter, once they are checked."""

import math
from dataclasses import dataclass, field, replace


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
