"""adapter_config.json: read strictly, every key either understood or without effect."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.adapters.base import BaseShape
from app.adapters.fields import ConfigReport, read_alpha, read_flag, read_pattern, read_rank, read_targets
from app.adapters.findings import CONFIG_FILE
from app.adapters.settings import LoraSettings
from app.adapters.strictjson import StrictJsonError, load_strict
from app.errors import printable

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
# These never change what the saved tensors mean: they describe the training, or name the base, which is never
# opened. peft 0.21 writes all of them.
INERT_KEYS = frozenset(
    {
        "base_model_name_or_path",
        "exclude_modules",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "lora_dropout",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
    }
)
# Beside null, false and empty, these values leave the maths as it is served. The initialisations are those
# that change nothing but where training starts.
FIXED_VALUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"bias": ("none",), "init_lora_weights": ("gaussian", "orthogonal"), "task_type": ("CAUSAL_LM",)}
)
CHANGES: Mapping[str, str] = MappingProxyType(
    {
        "auto_mapping": "pass task_type='CAUSAL_LM' to LoraConfig, then peft leaves it null",
        "bias": "train with bias='none'",
        "init_lora_weights": "train with init_lora_weights=True, or convert to a plain LoRA with peft's "
        "path_initial_model_for_weight_conversion",
        "task_type": "train with task_type='CAUSAL_LM'",
    }
)


def read_config(data: bytes, base: BaseShape) -> ConfigReport:
    """Check the bytes of an adapter_config.json against every rule and collect what breaks one."""
    report = ConfigReport()
    config = _parse(data, report)
    if config is None:
        return report
    _check_other_keys(config, report)
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


def _check_other_keys(config: dict[str, Any], report: ConfigReport) -> None:
    for key, value in config.items():
        if key in CHECKED_KEYS or key in INERT_KEYS or _has_no_effect(key, value):
            continue
        allowed = ", ".join(("null, false or empty", *FIXED_VALUES.get(key, ())))
        change = CHANGES.get(key, f"train without {printable(key)}: a plain LoRA is what can be served")
        report.refuse(key, f"must be {allowed}", change)


def _has_no_effect(key: str, value: Any) -> bool:
    if value is None or value is False or (key == "init_lora_weights" and value is True):
        return True
    return value in ("", [], {}) or (isinstance(value, str) and value in FIXED_VALUES.get(key, ()))


def _check_types(config: dict[str, Any], base: BaseShape, report: ConfigReport) -> None:
    if config.get("peft_type") != "LORA":
        report.refuse("peft_type", "must be LORA", "train the adapter as a LoRA")
    model_type = config.get("model_type")
    if model_type is None:
        report.notes.append(f"{CONFIG_FILE}: model_type is absent, {base.model_type} is taken from the base")
    elif model_type != base.model_type:
        report.refuse(
            "model_type", f"must be {base.model_type}", "use an adapter that was trained on this base"
        )


def _read_settings(config: dict[str, Any], report: ConfigReport) -> LoraSettings:
    return LoraSettings(
        r=read_rank(report, "r", config.get("r")),
        alpha=read_alpha(report, "lora_alpha", config.get("lora_alpha")),
        use_rslora=read_flag(report, "use_rslora", config.get("use_rslora")),
        targets=read_targets(report, config.get("target_modules")),
        rank_pattern=read_pattern(report, "rank_pattern", config.get("rank_pattern"), read_rank),
        alpha_pattern=read_pattern(report, "alpha_pattern", config.get("alpha_pattern"), read_alpha),
    )
