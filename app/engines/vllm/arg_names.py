"""vLLM's engine arguments: which there are, and which the server sets itself.

The names are read from the source of the installed vLLM without importing it, which would take seconds.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Final

from app.errors import StartupError

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
