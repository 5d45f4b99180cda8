"""Starting vLLM: the environment it reads, its finished configuration, the AsyncLLM with its child processes."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from app.engines.choices import TunedSetting
from app.engines.vllm import compat
from app.engines.vllm.args import hot_processor
from app.engines.vllm.cpu_plugin import PLATFORM_MODULE, SWITCH
from app.errors import StartupError
from app.logs import log_startup

# Usage reports and hub traffic are off; children are spawned, because this process has threads when they start.
QUIET_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_COLOR": "0",
}


@dataclass(frozen=True, slots=True)
class VllmPlan:
    """`arguments` are AsyncEngineArgs by name; `environment` is set before vLLM is imported and never overrides what
    the operator exported. `slots` adapters stay loaded, never more than vLLM's max_cpu_loras: it would evict one
    by itself, and read it again while generating. `choices` are for people.
    """

    arguments: Mapping[str, Any]
    environment: Mapping[str, str]
    slots: int
    choices: tuple[TunedSetting, ...] = ()


def require_platform(found: type, plan: VllmPlan) -> None:
    """Raises StartupError where vLLM should compute LoRA our way and does not: with its own, tokens without an adapter
    would get somebody's (`app.engines.vllm.cpu_lora`).
    """
    if plan.environment.get(SWITCH) == "1" and found.__module__ != PLATFORM_MODULE:
        raise StartupError(
            "vLLM does not use our platform: run `make install`, and export neither VLLM_PLUGINS without outworker "
            f"nor {SWITCH}"
        )


def start_vllm(plan: VllmPlan) -> tuple[Any, Any]:
    """vLLM's names (`app.engines.vllm.compat`) and a running AsyncLLM. Takes seconds to minutes: call it in a thread."""
    for name, value in {**QUIET_ENVIRONMENT, **plan.environment}.items():
        os.environ.setdefault(name, value)
    compat.load()  # seconds of import, in this thread only
    log_startup("vLLM imported")
    require_platform(type(compat.current_platform), plan)
    config = compat.AsyncEngineArgs(**plan.arguments).create_engine_config()
    # Only the finished configuration tells which model runner it will be, and each takes another class.
    config.model_config.logits_processors = [hot_processor(v2_model_runner=config.use_v2_model_runner)]
    log_startup("vLLM configured")
    llm = compat.AsyncLLM.from_vllm_config(config, disable_log_stats=True)
    log_startup("vLLM runs")
    return compat, llm


def processes_of(llm: Any) -> list[psutil.Process]:
    """vLLM's core with its workers; none of what has ended, nor where somebody else manages them."""
    found: list[psutil.Process] = []
    for core in getattr(llm.engine_core.resources.engine_manager, "processes", ()):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(core.pid)
            found += [process, *process.children(recursive=True)]
    return found


def computed_s(processes: list[psutil.Process]) -> float:
    """Processor time of all of them so far."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def end(llm: Any) -> None:
    """Blocks until vLLM's processes have ended and its sockets are closed. They are killed: one that is stopped or
    hangs would not hear of it otherwise. Nobody waits for an answer any more.
    """
    for process in processes_of(llm):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    llm.shutdown()
