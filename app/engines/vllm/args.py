"""Keyword arguments of vLLM's AsyncEngineArgs: the server's own, and `[models.vllm]` after a check.

The names are read from the source of the installed vLLM without importing it, which would take seconds.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from app.errors import SettingsError, StartupError
from app.settings import Settings
from app.settings.check import did_you_mean, found
from app.types import MAX_LORA_RANK

_WEIGHTS: Final = "set `weights` in [[models]]"
_ADAPTERS: Final = "set `adapters`, `max_adapters_resident` and `max_adapters_in_batch` in [[models]]"
_CARD: Final = "it comes from the limits of the model card in schemas/"
_WAITING: Final = "set `max_waiting_requests` and `max_waiting_tokens` in [limits]"
_SAMPLING: Final = "sampling comes from the request and the model card"
_CODE: Final = "the server loads no code and no files by name from its settings"
_TEXT_ONLY: Final = "the server generates text from token ids only"
_GRAMMARS: Final = "every grammar is tried out with xgrammar before vLLM gets it"
_NOT_HOT: Final = "temperatures above 2 need a logits processor, which does not go with it"

OWNED: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            *("model", "model_weights", "tokenizer", "hf_config_path", "revision", "code_revision"),
            *("tokenizer_revision", "download_dir", "hf_token"),
        ),
        _WEIGHTS,
    ),
    "hf_overrides": "change config.json in the folder of the weights",
    "served_model_name": "set `name` in [[models]]",
    **dict.fromkeys(("enable_lora", "max_loras", "max_cpu_loras", "max_lora_rank"), _ADAPTERS),
    **dict.fromkeys(
        ("lora_target_modules", "default_mm_loras", "fully_sharded_loras", "lora_dtype"), _ADAPTERS
    ),
    **dict.fromkeys(("max_model_len", "max_num_batched_tokens"), _CARD),
    **dict.fromkeys(("max_num_queued_reqs", "max_num_queued_tokens"), _WAITING),
    "kv_cache_memory_bytes": "set `kv_cache_gib` in [[models]]",
    "shutdown_timeout": "set `drain_s` in [limits]",
    **dict.fromkeys(("logits_processors", "generation_config", "override_generation_config"), _SAMPLING),
    **dict.fromkeys(
        (
            *(
                "trust_remote_code",
                "model_class_overrides",
                "worker_cls",
                "worker_extension_cls",
                "scheduler_cls",
            ),
            *("io_processor_plugin", "reasoning_parser_plugin", "logging_config", "log_config_file"),
            *("kv_transfer_config", "kv_events_config", "ec_transfer_config", "weight_transfer_config"),
            *("config_format", "tokenizer_mode", "pt_load_map_location", "model_loader_extra_config"),
        ),
        _CODE,
    ),
    **dict.fromkeys(
        (
            *("runner", "convert", "skip_tokenizer_init", "tokens_only", "enable_prompt_embeds"),
            *("allowed_local_media_path", "allowed_media_domains", "pooler_config", "diffusion_config"),
        ),
        _TEXT_ONLY,
    ),
    **dict.fromkeys(("structured_outputs_config", "reasoning_parser"), _GRAMMARS),
    **dict.fromkeys(("speculative_config", "spec_method", "spec_model", "spec_tokens"), _NOT_HOT),
}
"""Engine arguments that a settings file may not have, and what to do instead."""

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "load_format": ("safetensors", "fastsafetensors", "dummy"),
    "model_impl": ("auto", "vllm"),
    "distributed_executor_backend": ("mp", "ray"),
}
"""Arguments whose other values would load pickled weights or name a class to import."""

_SOURCE: Final = Path("engine", "arg_utils.py")
_CLASSES: Final = ("EngineArgs", "AsyncEngineArgs")


def check_arguments(settings: Settings) -> None:
    """Raise `SettingsError`, a line for each argument in `[models.vllm]` that is unknown or the server's."""
    lines = [
        f"{settings.source}: models[{index}].vllm.{mistake}"
        for index, model in enumerate(settings.models)
        if model.engine == "vllm"
        for mistake in argument_mistakes(model.vllm)
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def argument_mistakes(user_args: Mapping[str, Any]) -> Iterator[str]:
    """Each as `NAME: what is wrong`. Reads vLLM's source only when there is an argument to look up."""
    known = argument_names() if user_args else frozenset()
    for name, value in user_args.items():
        if name in OWNED:
            yield f"{found_name(name)}: the server sets this: {OWNED[name]}"
        elif name not in known:
            hint = did_you_mean(name, known - set(OWNED))
            yield f"{found_name(name)}: not an argument of the installed vLLM{hint}"
        elif name in CHOICES and value not in CHOICES[name]:
            choices = " or ".join(f'"{choice}"' for choice in CHOICES[name])
            yield f"{name}: expected {choices}, found {found(value)}"


def engine_arguments(
    *,
    weights: Path,
    user_args: Mapping[str, Any],
    max_model_len: int,
    max_num_batched_tokens: int,
    max_loras: int,
    max_cpu_loras: int,
    adapters: bool,
    cpu: bool,
    kv_cache_bytes: int | None = None,
    chosen: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Keyword arguments of AsyncEngineArgs.

    `max_model_len` is the largest context of the cards that share the engine, in tokens. `max_loras` is the number of
    adapters in one step on a GPU, `max_cpu_loras` that of loaded ones. `chosen` is what suits the machine; `user_args`
    win over it. `kv_cache_bytes` None leaves the size to vLLM's `gpu_memory_utilization`. `logits_processors` fits the
    runner that such a host has by default; `hot_processor` tells by the finished configuration. Raises `SettingsError`
    for a user's argument that is refused.
    """
    _check(user_args, max_model_len, max_num_batched_tokens)
    arguments = {
        **_tunable(adapters=adapters, cpu=cpu),
        **chosen,
        **user_args,
        **_fixed(weights),
        "max_model_len": max_model_len,
        "max_num_batched_tokens": max_num_batched_tokens,
        "logits_processors": [hot_processor(v2_model_runner=not cpu)],
    }
    if adapters:
        arguments |= _lora(max_loras, max_cpu_loras, cpu)
    return arguments if kv_cache_bytes is None else {**arguments, "kv_cache_memory_bytes": kv_cache_bytes}


def hot_processor(*, v2_model_runner: bool) -> str:
    """The class for temperatures above 2, by vLLM's `VllmConfig.use_v2_model_runner`."""
    name = "HighTemperatureProcessorV2" if v2_model_runner else "HighTemperatureProcessor"
    return f"app.engines.vllm.high_temperature:{name}"


def found_name(name: str) -> str:
    """A key as it may stand in an error."""
    return found(name).strip('"')


def _tunable(*, adapters: bool, cpu: bool) -> dict[str, Any]:
    """Defaults that `[models.vllm]` may change. On a CPU vLLM does not compile with LoRA anyway."""
    return {
        "load_format": "safetensors",
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "enforce_eager": cpu and adapters,
        "seed": 0,
    }


def _fixed(weights: Path) -> dict[str, Any]:
    """`generation_config` "vllm": sampling never comes from a file in the folder of the weights."""
    return {
        "model": str(weights),
        "tokenizer_mode": "hf",
        "config_format": "hf",
        "generation_config": "vllm",
        "skip_tokenizer_init": False,
        "trust_remote_code": False,
        # By name: "auto" takes another library for a schema that xgrammar refuses, and that one was not tried out.
        "structured_outputs_config": {"backend": "xgrammar"},
    }


def _lora(in_batch: int, resident: int, cpu: bool) -> dict[str, Any]:
    """On a CPU each resident adapter has a slot to be computed from: the memory is the same as theirs."""
    return {
        "enable_lora": True,
        "max_lora_rank": MAX_LORA_RANK,
        "max_loras": resident if cpu else in_batch,
        "max_cpu_loras": resident,
    }


def _check(user_args: Mapping[str, Any], max_model_len: int, max_num_batched_tokens: int) -> None:
    mistakes = list(argument_mistakes(user_args))
    if user_args.get("enable_chunked_prefill") is False and max_num_batched_tokens < max_model_len:
        mistakes.append(
            f"enable_chunked_prefill: expected true, because a prompt of {max_model_len} tokens does not fit "
            f"into one step of {max_num_batched_tokens}"
        )
    if mistakes:
        raise SettingsError("\n".join(f"models.vllm.{mistake}" for mistake in mistakes))


def argument_names() -> frozenset[str]:
    """Field names of the installed vLLM's AsyncEngineArgs. Raises `StartupError` when there is no vLLM."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        raise StartupError(
            'the engine "vllm" is not installed: run `make serve`, or set engine = "fake" in [[models]]'
        )
    tree = ast.parse((Path(spec.origin).parent / _SOURCE).read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in _CLASSES]
    fields = [field.target for node in classes for field in node.body if isinstance(field, ast.AnnAssign)]
    return frozenset(
        field.id for field in fields if isinstance(field, ast.Name) and not field.id.startswith("_")
    )
