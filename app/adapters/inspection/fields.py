"""The values in adapter_config.json that decide shapes and scale, each with its rule."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from app.adapters.inspection.base_model import TARGET_MODULES
from app.adapters.inspection.findings import finding
from app.errors import printable
from app.model_files.lora import CONFIG_FILE, LoraSettings
from app.types import MAX_LORA_RANK

# A larger one is no choice of a person; from 3e38 on it would be infinite in the engine, and times zero NaN.
ALPHA_MAX = 1e6
# Full length, so that a name can never be a regular expression that does more than name: vLLM runs pattern
# keys as such.
LITERAL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,8}")

Number = TypeVar("Number", int, float)


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
            problem = f"has the key {_named(expression)}, which is not a literal module name"
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
