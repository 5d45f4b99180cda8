"""Keys of adapter_config.json that no rule reads: which change what is computed, and which are remarks.

The engine never sees any of them: its configuration is written anew. So a remark is left out and named in a note, and
only what would make another computation of the same tensors is refused.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from app.adapters.inspection.fields import ConfigReport

# peft writes all of them into every file. They describe the training, or name the base, which is never opened.
SILENT_KEYS: Final = frozenset(
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
# How the adapter began or was trained, of peft and of others: the tensors are what came of it.
# fan_in_fan_out is for Conv1D alone (peft ignores it for the Linear modules of this base).
REMARKS: Final = frozenset(
    {
        "auto_mapping",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "fan_in_fan_out",
        "fine_tune_type",
        "loftq_config",
        "lora_ga_config",
        "lora_parameters",
        "megatron_config",
        "runtime_config",
        "velora_config",
    }
)
# Beside null, false and empty, these values leave the maths as it is served. The initialisations are those that leave
# the base alone, so that the tensors are all that was trained.
FIXED_VALUES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "bias": ("none",),
        "init_lora_weights": ("gaussian", "orthogonal", "eva", "mica"),
        "task_type": ("CAUSAL_LM",),
    }
)
PLAIN: Final = "train a plain LoRA, without {key}"
CHANGING: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "alora_invocation_tokens": ("aLoRA counts for a part of the tokens only", PLAIN),
        "arrow_config": ("Arrow mixes several adapters", PLAIN),
        "bias": ("trained biases are not applied", "train with bias='none'"),
        "init_lora_weights": (
            "it changes the base, so that the tensors are not all that was trained",
            "train with init_lora_weights=True, or convert to a plain LoRA with peft's "
            "path_initial_model_for_weight_conversion",
        ),
        "kasa_config": ("KaSA computes with more than A and B", PLAIN),
        "layer_replication": ("it makes other layers", PLAIN),
        "lora_bias": ("the bias of B is not applied", "train with lora_bias=False"),
        "modules_to_save": (
            "whole trained modules are not applied",
            "train without modules_to_save (no embed_tokens, no lm_head)",
        ),
        "monteclora_config": ("MonteCLoRA computes with more than A and B", PLAIN),
        "target_parameters": ("parameters of experts are not those of this base", PLAIN),
        "task_type": ("it was trained for another task than text", "train with task_type='CAUSAL_LM'"),
        "trainable_token_indices": ("trained tokens are not applied", PLAIN),
        "use_bdlora": ("BD-LoRA computes with blocks", PLAIN),
        "use_dora": ("DoRA computes with more than A and B", "train with use_dora=False"),
        "use_qalora": ("QALoRA computes with pooled inputs", PLAIN),
    }
)
# An unknown key with one of these words in its name may switch on what a newer peft computes.
SWITCHES: Final = frozenset(
    {
        *("alpha", "bias", "config", "dora", "enable", "init", "lora", "pattern", "rank", "replication"),
        *("scale", "scaling", "use"),
    }
)
# ... but not beside one of these, which are about the training.
TRAINING: Final = frozenset(
    {
        *("axolotl", "base", "bnb", "data", "dataset", "eval", "lr", "model", "optimizer", "quant"),
        *("quantization", "tokenizer", "train", "trainer", "training", "unsloth", "wandb"),
    }
)
WORDS: Final = re.compile(r"[A-Za-z]+")


def read_remarks(config: Mapping[str, Any], checked: frozenset[str], report: ConfigReport) -> None:
    """Refuse the keys outside `checked` that change what is computed, and note those that are left out."""
    left_out = []
    for key, value in config.items():
        if key in checked or key in SILENT_KEYS or _has_no_effect(key, value):
            continue
        if key in CHANGING:
            _refuse(key, *CHANGING[key], report)
        elif key not in REMARKS and _may_be_a_switch(key):
            why = "it is not known here and may change what is computed"
            _refuse(key, why, "leave it out if it is a remark, else train without it", report)
        else:
            left_out.append(key)
    if left_out:
        report.note(f"left out, because nothing is computed from it: {', '.join(left_out)}")


def _refuse(key: str, why: str, change: str, report: ConfigReport) -> None:
    allowed = ", ".join(("null, false or empty", *FIXED_VALUES.get(key, ())))
    report.refuse(key, f"must be {allowed}: {why}", change.format(key=key) if change is PLAIN else change)


def _has_no_effect(key: str, value: Any) -> bool:
    if value is None or value is False or (key == "init_lora_weights" and value is True):
        return True
    if isinstance(value, str):
        return value == "" or value.lower() in map(str.lower, FIXED_VALUES.get(key, ()))
    return value in ([], {})


def _may_be_a_switch(key: str) -> bool:
    words = {word.lower() for word in WORDS.findall(key)}
    return bool(words & SWITCHES) and not words & TRAINING and not key.startswith("_")
