"""The values in adapter_config.json that decide shapes and scale, each with its rule."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.adapters.base import TARGET_MODULES
from app.adapters.findings import CONFIG_FILE, finding
from app.adapters.settings import LoraSettings
from app.errors import printable

RANK_MAX = 32
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

    def refuse(self, key: str, problem: str, change: str) -> None:
        self.findings.append(finding(CONFIG_FILE, f"{printable(key)} {problem}", change))


def read_rank(report: ConfigReport, key: str, value: Any) -> int:
    """A rank; 1 beside a finding."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= RANK_MAX:
        return value
    problem = f"is {_shown(value)}, must be a whole number from 1 to {RANK_MAX}"
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


def read_targets(report: ConfigReport, value: Any) -> tuple[str, ...]:
    """The target modules: a list of literal names, or a single one as peft writes a lone string."""
    names = [value] if isinstance(value, str) else value
    change = f"list names out of {', '.join(TARGET_MODULES)}"
    if not isinstance(names, list) or not names:
        report.refuse("target_modules", "must be a list of at least one module name", change)
        return ()
    for name in names:
        if not _is_literal(name):
            report.refuse("target_modules", f"holds {_named(name)}, which is no literal module name", change)
        elif name.rsplit(".", 1)[-1] not in TARGET_MODULES:
            report.refuse("target_modules", f"names {_named(name)}, which the base has no LoRA for", change)
    return tuple(name for name in names if isinstance(name, str))


def read_pattern(
    report: ConfigReport, key: str, value: Any, read: Callable[[ConfigReport, str, Any], Number]
) -> dict[str, Number]:
    """`rank_pattern` or `alpha_pattern`: literal module names to what `read` takes."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        report.refuse(key, "must be an object of module names", "leave it empty")
        return {}
    for name in value:
        if not _is_literal(name):
            problem = f"has the key {_named(name)}, which is no literal module name"
            report.refuse(key, problem, "write the modules' names out: regular expressions are not run")
    return {name: read(report, f"{key}[{_named(name)}]", number) for name, number in value.items()}


def _is_literal(name: Any) -> bool:
    return isinstance(name, str) and LITERAL_NAME.fullmatch(name) is not None


def _named(name: Any) -> str:
    return repr(printable(name)) if isinstance(name, str) else "something that is not text"
