"""adapter_config.json: read strictly, every key either understood or without effect."""

from typing import Any

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.fields import (
    ConfigReport,
    check_expressions,
    read_alpha,
    read_flag,
    read_pattern,
    read_rank,
    read_targets,
)
from app.adapters.inspection.remarks import read_remarks
from app.adapters.inspection.strict_json import StrictJsonError, load_strict
from app.errors import printable
from app.model_files.lora import LoraSettings

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
