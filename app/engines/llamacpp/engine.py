"""llama.cpp as an Engine: xllamacpp's server inside this process, asked by calls and never over a connection.

xllamacpp is imported in `start`: whoever serves with another engine need not have it.
"""

import asyncio
import importlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

from app.engines.adapter_files import load_stored
from app.engines.adapter_slots import AdapterSlots
from app.engines.delta_stream import DeltaStream
from app.engines.deployment import EngineParts
from app.engines.engine import EngineHealth, LeasedAdapter, drained, first_line, not_ready
from app.engines.llamacpp.chunks import TokenIds
from app.engines.llamacpp.gguf.adapter import converted, place_of, sweep
from app.engines.llamacpp.gguf.model import GgufModel, read_model
from app.engines.llamacpp.plan import LlamaCppPlan, plan
from app.engines.llamacpp.request import Answer
from app.engines.llamacpp.server import LlamaServer
from app.engines.llamacpp.server_pool import LlamaServerPool
from app.engines.supervision import Heart, Supervision
from app.errors import EngineLost, StartupError
from app.logs import log_startup
from app.settings import Model
from app.types import Prompt, Sampling, StoredAdapter

log = logging.getLogger(__name__)

ENVIRONMENT: Final = {"GOMP_SPINCOUNT": "300"}
"""How often a thread looks whether the others are done before it sleeps. libgomp's own 300000 are faster where nothing
else runs, and take tens of times as long where something does: then the one that is waited for does not get to run. Set
before libgomp is loaded; what the operator exported wins.
"""

__all__ = ["LlamaCppEngine", "build", "plan"]


class LlamaCppEngine:
    """`make_plan` is called in a thread at start, because it may have to make or read the weights; it raises
    StartupError. `digests` gives those of all stored adapters, in a thread too. `wait_s` is how long a request waits for
    one of the plan's places for adapters.

    Grammars are written in llama.cpp's own form when a request begins: JsonModeUnmet comes with the first delta.
    """

    compiles_grammars = False
    has = frozenset({"min_p"})

    def __init__(
        self,
        make_plan: Callable[[], LlamaCppPlan],
        digests: Callable[[], Collection[str]],
        *,
        wait_s: float,
        supervision: Supervision | None = None,
    ) -> None:
        self._supervision = supervision or Supervision()
        self._watching: asyncio.Task[None] | None = None
        self._make_plan = make_plan
        self._digests = digests
        self._wait_s = wait_s
        self._health = EngineHealth("starting")
        self._adapter_slots = AdapterSlots(0, self._load, self._unload, wait_s)  # none before llama.cpp runs
        self._servers: LlamaServerPool | None = None
        self._forgotten: set[Path] = set()
        self._loading: Counter[Path] = Counter()
        self._plan: LlamaCppPlan
        self._model: GgufModel

    async def start(self) -> None:
        async with self._supervision.starting:
            await self._start()

    async def _start(self) -> None:
        try:
            self._plan = await asyncio.to_thread(self._make_plan)
            xllamacpp = await asyncio.to_thread(_import)
            self._model = await asyncio.to_thread(read_model, self._plan.gguf)
            await asyncio.to_thread(lambda: sweep(self._plan.cache, self._digests()))
            ids = TokenIds(self._model.pieces)

            def make(adapters: Mapping[int, Path]) -> LlamaServer:
                return LlamaServer(xllamacpp, self._plan, ids, adapters)

            first = await asyncio.to_thread(make, {})
        except StartupError as cause:
            self._health = EngineHealth("failed", first_line(cause))
            raise
        except (OSError, ImportError, ValueError, MemoryError) as cause:  # a full disk, a broken package
            log.exception("llama.cpp did not start")
            self._health = EngineHealth("failed", first_line(cause))
            raise StartupError(
                f"llama.cpp did not start: {self._health.reason}: the server's log says more"
            ) from cause
        if self._health.state == "stopped":
            await first.close()
            return
        log_startup("llama.cpp runs")
        self._servers = LlamaServerPool(make, first, self._wait_s)
        self._adapter_slots = AdapterSlots(self._plan.adapters, self._load, self._unload, self._wait_s)
        self._health = EngineHealth("ready")
        self._watching = asyncio.create_task(self._watch(self._servers))

    async def _watch(self, servers: LlamaServerPool) -> None:
        """llama.cpp's threads are this process's own: nobody can end them, so the server has to end."""
        why = await Heart(servers.beat, None, self._supervision).stopped()
        self._health = EngineHealth("failed", f"llama.cpp {why}")
        servers.fail()
        self._supervision.lost(EngineLost(self._health.reason))

    async def stop(self, drain_s: float) -> None:
        servers = self._servers
        if servers is not None and self._health.state == "failed":
            return  # it would not end
        if self._watching is not None:
            self._watching.cancel()
        if servers is not None:
            await drained(lambda: servers.running, drain_s)
        self._health = EngineHealth("stopped")
        self._servers = None
        if servers is not None:
            await servers.close()

    def health(self) -> EngineHealth:
        return self._health

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        return self._adapter_slots.lease(adapter)

    async def forget(self, adapter: StoredAdapter) -> None:
        """Its converted file goes too, unless an equal adapter of somebody else is loaded from it."""
        if self._servers is None:
            return
        self._forgotten.add(place_of(adapter, self._model, self._plan.cache))
        await self._adapter_slots.forget(adapter)
        await self._remove_forgotten()

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> DeltaStream:
        """No prompt is kept for another request, so `cache_salt` has nothing to keep apart."""
        if self._health.state != "ready" or self._servers is None:
            raise not_ready()
        servers = self._servers
        begun: list[tuple[LlamaServer, Answer]] = []

        async def begin(stream: DeltaStream) -> None:
            if self._health.state != "ready":
                raise not_ready()
            server, int_id = servers.current, None if adapter is None else adapter.int_id
            begun.append((server, server.begin(stream, prompt.token_ids, sampling, adapter=int_id)))

        async def end() -> None:
            for server, answer in begun:
                server.abort(answer)

        return DeltaStream(begin, end)

    async def _load(self, adapter: LeasedAdapter) -> None:
        stored = adapter.stored
        if self._servers is None:
            raise not_ready()
        place = place_of(stored, self._model, self._plan.cache)
        self._forgotten.discard(place)
        self._loading[place] += 1
        try:
            await load_stored(stored, lambda: self._convert_and_add(adapter, place))
        finally:
            self._loading[place] -= 1
            if not self._loading[place]:
                del self._loading[place]

    async def _convert_and_add(self, adapter: LeasedAdapter, place: Path) -> None:
        """A file that llama.cpp can't read is made once more: a power cut may have left it so."""
        servers = self._servers
        if servers is None:
            raise not_ready()
        was_there = await asyncio.to_thread(place.exists)
        try:
            file = await asyncio.to_thread(converted, adapter.stored, self._model, self._plan.cache)
            await servers.add(adapter.int_id, file)
        except StartupError:
            if not was_there:
                raise
            await asyncio.to_thread(place.unlink, missing_ok=True)
            file = await asyncio.to_thread(converted, adapter.stored, self._model, self._plan.cache)
            await servers.add(adapter.int_id, file)

    async def _unload(self, adapter: LeasedAdapter) -> None:
        if self._servers is not None:
            self._servers.drop(adapter.int_id)
            await self._remove_forgotten()

    async def _remove_forgotten(self) -> None:
        if self._servers is not None:
            needed = self._servers.files | self._loading.keys()
            for file in self._forgotten - needed:
                self._forgotten.discard(file)
                await asyncio.to_thread(file.unlink, missing_ok=True)


def _import() -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError:
        raise StartupError(
            "the engine llamacpp is not installed: run `make serve ENGINE=llamacpp`, or set engine to another"
        ) from None


def build(model: Model, make_plan: Callable[[], LlamaCppPlan], parts: EngineParts) -> LlamaCppEngine:
    """Make the engine without starting it."""
    return LlamaCppEngine(make_plan, parts.digests, wait_s=parts.slot_wait_s, supervision=parts.supervision)
