"""adapter_config.json: read strictly, every key either understood or without effect."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.adapters.inspection.base_model import TARGET_MODULES, BaseShape
from app.adapters.inspection.findings import CONFIG_FILE, finding
from app.adapters.inspection.lora_config import LoraSettings
from app.adapters.inspection.remarks import read_remarks
from app.adapters.inspection.strict_json import StrictJsonError, load_strict
from app.errors import printable
from app.types import MAX_LORA_RANK

# A larger one is no choice of a person; from 3e38 on it would be infinite in the engine, and times zero NaN.
ALPHA_MAX = 1e6
# Full length, so that a name can never be a regular expression that does more than name: vLLM runs pattern
# keys as such.
LITERAL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,8}")

Number = TypeVar("Number", int, float)

CONFIG_MAX_BYTES = 64_000
AS_PEFT_WROTE_IT = "use the file as peft's save_pretrained wrote it"

CHECKED_KEYS = frozenset(
    {
        "alpha_pattern",
        "lora_alpha",
        "model_type",
        "peft_type",
        "r",
        "rank_pattern",
        "target_modules",
        "use_rslora",
    }
)
MLX_KEYS = frozenset({"fine_tune_type", "lora_parameters"})
MLX_CHANGE = (
    "convert it to peft: r = rank, lora_alpha = rank * scale, both tensors transposed and named as peft does"
)


@dataclass(slots=True)
class ConfigReport:
    """`settings` is None exactly when there are findings. Notes are sentences for the adapter's owner."""

    settings: LoraSettings | None = None
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(f"{CONFIG_FILE}: {printable(text)}")

    def refuse(self, key: str, problem: str, change: str) -> None:
        self.findings.append(finding(CONFIG_FILE, f"{printable(key)} {problem}", change))


def read_rank(report: ConfigReport, key: str, value: Any) -> int:
    """A rank; 1 beside a finding."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_LORA_RANK:
        return value
    problem = f"is {_shown(value)}, must be a whole number from 1 to {MAX_LORA_RANK}"
    report.refuse(key, problem, "train with a rank in that range")
    return 1


def read_alpha(report: ConfigReport, key: str, value: Any) -> float:
    """An alpha, as int or float as it was written; 1 beside a finding."""
    if isinstance(value, int | float) and not isinstance(value, bool) and _in_alpha_range(value):
        return value
    problem = f"is {_shown(value)}, must be a number above 0 and at most {ALPHA_MAX:g}"
    report.refuse(key, problem, "set the alpha that it was trained with")
    return 1


def _in_alpha_range(value: float) -> bool:
    return math.isfinite(value) and 0 < value <= ALPHA_MAX


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else "not a number"


def read_flag(report: ConfigReport, key: str, value: Any) -> bool:
    """A boolean; absent is false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    report.refuse(key, "must be true or false", "upload the file as peft's save_pretrained wrote it")
    return False


def read_targets(report: ConfigReport, value: Any) -> tuple[str, ...] | None:
    """The target modules as literal names; None where the file leaves it to the tensors to say which modules have LoRA:
    with an expression, which is not run, or nothing."""
    names = [value] if isinstance(value, str) else value
    if names is not None and not isinstance(names, list):
        change = f"list names out of {', '.join(TARGET_MODULES)}"
        report.refuse("target_modules", "must be a list of module names", change)
        return None
    for name in names or ():
        if not isinstance(name, str):
            report.refuse("target_modules", "holds something that is not text", "list the modules' names")
            return None
    if not names or not all(map(_is_literal, names)):
        how = "names no module" if not names else "is an expression, which is not run"
        report.note(f"target_modules {how}: the tensors say which modules have LoRA")
        return None
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Pattern(Generic[Number]):
    """The entries of `rank_pattern` or `alpha_pattern` by literal names, and those by regular expressions."""

    by_name: dict[str, Number] = field(default_factory=dict)
    by_expression: dict[str, Number] = field(default_factory=dict)


def read_pattern(
    report: ConfigReport, key: str, value: Any, read: Callable[[ConfigReport, str, Any], Number]
) -> Pattern[Number]:
    """`rank_pattern` or `alpha_pattern`: names of modules, or expressions, to what `read` takes."""
    pattern: Pattern[Number] = Pattern()
    if value is not None and not isinstance(value, dict):
        report.refuse(key, "must be an object of module names", "leave it empty")
        return pattern
    for name, number in (value or {}).items():
        literal = _as_literal(name)
        entries = pattern.by_expression if literal is None else pattern.by_name
        entries[literal or name] = read(report, f"{key}[{_named(name)}]", number)
    return pattern


def check_expressions(report: ConfigReport, alphas: dict[str, float], alpha: float) -> None:
    """An alpha by an expression decides what is computed, unless it is the `alpha` of all modules anyhow."""
    for expression, value in alphas.items():
        if value != alpha:
            problem = f"has the key {_named(expression)}, which is no literal module name"
            change = "write the modules' names out, such as model.layers.0.self_attn.q_proj: expressions are not run"
            report.refuse("alpha_pattern", problem, change)
            return
    if alphas:
        report.note("alpha_pattern has expressions for lora_alpha itself, which are left out")


def _as_literal(name: str) -> str | None:
    """The name that an expression stands for where it only marks begin, end and dots; None for any other.

    What begins at the begin is a whole name: peft compares it with the whole.
    """
    whole = name.startswith("^")
    bare = name.removeprefix("^").removesuffix("$").replace("\\.", ".")
    if not _is_literal(bare) or (whole and not bare.startswith("model.layers.")):
        return None
    return bare


def _is_literal(name: Any) -> bool:
    return isinstance(name, str) and LITERAL_NAME.fullmatch(name) is not None


def _named(name: Any) -> str:
    return repr(printable(name)) if isinstance(name, str) else "something that is not text"


def read_config(data: bytes, base: BaseShape) -> ConfigReport:
    """Check the bytes of an adapter_config.json against every rule and collect what breaks one."""
    report = ConfigReport()
    config = _parse(data, report)
    if config is None:
        return report
    read_remarks(config, CHECKED_KEYS, report)
    _check_types(config, base, report)
    settings = _read_settings(config, report)
    if not report.findings:
        report.settings = settings
    return report


def _parse(data: bytes, report: ConfigReport) -> dict[str, Any] | None:
    if len(data) > CONFIG_MAX_BYTES:
        report.refuse("the file", f"is larger than {CONFIG_MAX_BYTES} bytes", AS_PEFT_WROTE_IT)
        return None
    try:
        config = load_strict(data)
    except StrictJsonError as error:
        report.refuse("the file", f"is not strict JSON ({printable(str(error))})", AS_PEFT_WROTE_IT)
        return None
    if not isinstance(config, dict):
        report.refuse("the file", "must hold one JSON object", AS_PEFT_WROTE_IT)
        return None
    return config


def _check_types(config: dict[str, Any], base: BaseShape, report: ConfigReport) -> None:
    _check_kind(config, report)
    model_type = config.get("model_type")
    if model_type is None:
        report.note(f"model_type is absent, {base.model_type} is taken from the base")
    elif model_type != base.model_type:
        report.refuse(
            "model_type", f"must be {base.model_type}", "use an adapter that was trained on this base"
        )


def _check_kind(config: dict[str, Any], report: ConfigReport) -> None:
    kind = config.get("peft_type")
    if kind is None and MLX_KEYS & config.keys() and "r" not in config:
        report.refuse("the file", "is mlx-lm's configuration, not peft's", MLX_CHANGE)
    elif kind is None and "r" in config:
        report.note("peft_type is absent, r says that it is a LoRA")
    elif not isinstance(kind, str) or kind.upper() != "LORA":
        report.refuse("peft_type", "must be LORA", "train the adapter as a LoRA")


def _read_settings(config: dict[str, Any], report: ConfigReport) -> LoraSettings:
    rank = read_rank(report, "r", config.get("r"))
    alpha = read_alpha(report, "lora_alpha", config.get("lora_alpha"))
    ranks = read_pattern(report, "rank_pattern", config.get("rank_pattern"), read_rank)
    alphas = read_pattern(report, "alpha_pattern", config.get("alpha_pattern"), read_alpha)
    check_expressions(report, alphas.by_expression, alpha)
    if ranks.by_expression:
        report.note("rank_pattern has expressions, which are not run: the tensors say each rank")
    return LoraSettings(
        r=rank,
        alpha=alpha,
        use_rslora=read_flag(report, "use_rslora", config.get("use_rslora")),
        targets=read_targets(report, config.get("target_modules")),
        rank_pattern=ranks.by_name,
        alpha_pattern=alphas.by_name,
        ranks_by_tensors=bool(ranks.by_expression),
    )
