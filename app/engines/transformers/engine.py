"""torch, transformers and peft as an Engine: the model in this process, computed in a thread.

The imports happen in `start`, in a thread: they take seconds and the server answers meanwhile.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from app.engines.adapter_files import load_stored
from app.engines.adapter_slots import AdapterSlots
from app.engines.delta_stream import DeltaStream
from app.engines.deployment import EngineParts
from app.engines.engine import EngineHealth, LeasedAdapter, drained, first_line, not_ready
from app.engines.supervision import Heart, Supervision
from app.engines.transformers.plan import TransformersPlan, plan
from app.errors import ContextExceeded, EngineLost, InternalError, OutOfCapacity, StartupError
from app.settings import Model
from app.types import Delta, Prompt, Sampling, StoredAdapter

if TYPE_CHECKING:
    from app.engines.transformers.runtime import Runtime
    from app.engines.transformers.sequence import RunningSequence

log = logging.getLogger(__name__)

ENVIRONMENT: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Threads that spin while they wait take the cores from the server and from each other: a step of 7 ms can take 100.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Set before torch is imported; what the operator exported wins."""

__all__ = ["TransformersEngine", "build", "plan"]


class TransformersEngine:
    """`make_plan` is called in a thread at start, because it may have to make or read the weights; it raises
    StartupError. `wait_s` is how long a request waits for a slot among the loaded adapters.
    """

    compiles_grammars = True
    has = frozenset({"min_p", "stop_token_ids"})

    def __init__(
        self,
        make_plan: Callable[[], TransformersPlan],
        *,
        wait_s: float,
        supervision: Supervision | None = None,
    ) -> None:
        self._supervision = supervision or Supervision()
        self._watching: asyncio.Task[None] | None = None
        self._make_plan = make_plan
        self._wait_s = wait_s
        self._health = EngineHealth("starting")
        self._adapter_slots = self._new_adapter_slots(0)  # none before the model is there
        self._runtime: Runtime | None = None
        self._compiling = ThreadPoolExecutor(1, thread_name_prefix="grammars")
        """Grammars take seconds at worst, in which everybody else's threads are to be free."""

    async def start(self) -> None:
        async with self._supervision.starting:
            await self._start()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()

        def deliver(outcomes: "list[tuple[DeltaStream, Delta | Exception]]") -> None:
            with suppress(RuntimeError):  # the loop was closed without a stop: nobody listens
                loop.call_soon_threadsafe(_hand_over, outcomes)

        try:
            runtime = await asyncio.to_thread(self._build, deliver)
        except StartupError as cause:
            self._health = EngineHealth("failed", first_line(cause))
            raise
        except Exception as cause:
            log.exception("the engine transformers did not start")
            self._health = EngineHealth("failed", first_line(cause))
            raise StartupError(
                f"the engine transformers did not start: {self._health.reason}: the server's log says more"
            ) from cause
        if self._health.state == "stopped":  # meanwhile
            await asyncio.to_thread(runtime.scheduler.close)
            return
        self._runtime = runtime
        self._adapter_slots = self._new_adapter_slots(runtime.plan.slots)
        self._health = EngineHealth("ready")
        self._watching = asyncio.create_task(self._watch(runtime))

    async def _watch(self, runtime: "Runtime") -> None:
        """The thread that computes is this process's own: nobody can end it, so the server has to end."""
        why = await Heart(runtime.beat, lambda: runtime.scheduler.computed_s, self._supervision).stopped()
        self._health = EngineHealth("failed", f"the engine transformers {why}")
        runtime.scheduler.fail()
        self._supervision.lost(EngineLost(self._health.reason))

    async def stop(self, drain_s: float) -> None:
        if self._runtime is None:
            self._health = EngineHealth("stopped")
            return
        if self._health.state == "failed":
            return  # its thread would not end
        if self._watching is not None:
            self._watching.cancel()
        scheduler = self._runtime.scheduler
        await drained(lambda: scheduler.running, drain_s)
        self._health = EngineHealth("stopped")
        self._compiling.shutdown(wait=False)
        await asyncio.to_thread(scheduler.close)
        self._runtime = None  # the memory too

    def health(self) -> EngineHealth:
        ready = self._health.state == "ready"
        if ready and self._runtime is not None and not self._runtime.scheduler.alive:
            self._health = EngineHealth(
                "failed", "the thread that computes has ended: start the server again"
            )
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
        """`cache_salt` has no part in it: no request sees what another computed."""
        runtime = self._runtime
        if self.health().state != "ready" or runtime is None:
            raise not_ready()
        if adapter is not None and not self._adapter_slots.holds(adapter):
            raise OutOfCapacity("The adapter is not loaded any more.")  # peft would answer without it
        row: RunningSequence | None = None
        int_id = None if adapter is None else adapter.int_id

        async def begin(stream: DeltaStream) -> None:
            nonlocal row
            _check_length(prompt, runtime.plan.max_model_len)
            make = partial(runtime.row, stream, prompt, sampling, request_id=request_id, adapter=int_id)
            row = await asyncio.get_running_loop().run_in_executor(
                None if sampling.grammar is None else self._compiling, make
            )
            runtime.scheduler.submit(row)

        async def end() -> None:
            if row is not None:
                runtime.scheduler.abort(row)

        return DeltaStream(begin, end)

    def _build(self, deliver: "Callable[[list[tuple[DeltaStream, Delta | Exception]]], None]") -> "Runtime":
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        plan = self._make_plan()
        from app.engines.transformers.runtime import Runtime  # noqa: PLC0415  seconds of import

        return Runtime(plan, deliver)

    def _new_adapter_slots(self, slots: int) -> AdapterSlots:
        return AdapterSlots(slots, self._load, self._unload, self._wait_s)

    async def _load(self, adapter: LeasedAdapter) -> None:
        runtime = self._runtime
        if runtime is None:
            raise not_ready()
        load = partial(asyncio.to_thread, runtime.load_adapter, adapter.stored, adapter.int_id)
        await load_stored(adapter.stored, load)

    async def _unload(self, adapter: LeasedAdapter) -> None:
        if self._runtime is not None:
            with suppress(InternalError):  # the scheduler has ended, and the model goes with it
                await asyncio.to_thread(self._runtime.unload_adapter, adapter.int_id)


def _hand_over(outcomes: "list[tuple[DeltaStream, Delta | Exception]]") -> None:
    for stream, outcome in outcomes:
        if isinstance(outcome, Exception):
            stream.fail(outcome)
        else:
            stream.put(outcome)


def _check_length(prompt: Prompt, max_model_len: int) -> None:
    """Like any engine: one token of the context must be left for the answer."""
    tokens = len(prompt.token_ids)
    if tokens >= max_model_len:
        raise ContextExceeded(
            f"The prompt has {tokens} tokens, at most {max_model_len - 1} leave room for an answer"
        )


def build(model: Model, make_plan: Callable[[], TransformersPlan], parts: EngineParts) -> TransformersEngine:
    """Make the engine without starting it."""
    return TransformersEngine(make_plan, wait_s=parts.slot_wait_s, supervision=parts.supervision)
