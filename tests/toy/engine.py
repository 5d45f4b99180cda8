"""An engine in one file: it says how many tokens the prompt has. Its registration is a row (`tests.toy.serve`)."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from app.engines.choices import TunedSetting
from app.engines.deployment import Deployment, EngineParts
from app.engines.engine import EngineHealth, LeasedAdapter
from app.settings import Model
from app.types import Delta, Prompt, Sampling, StoredAdapter


@dataclass(frozen=True, slots=True)
class ToyPlan:
    choices: tuple[TunedSetting, ...] = (TunedSetting("toys", "1", "one is enough", "nothing"),)


class ToyEngine:
    compiles_grammars = False
    has: frozenset[str] = frozenset()

    def __init__(self, make_plan: Callable[[], ToyPlan]) -> None:
        self._make_plan = make_plan
        self._health = EngineHealth("starting")

    async def start(self) -> None:
        assert self._make_plan().choices
        self._health = EngineHealth("ready")

    async def stop(self, drain_s: float) -> None:
        self._health = EngineHealth("stopped")

    def health(self) -> EngineHealth:
        return self._health

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        @asynccontextmanager
        async def lease() -> AsyncIterator[LeasedAdapter]:
            yield LeasedAdapter(adapter, 1)

        return lease()

    async def forget(self, adapter: StoredAdapter) -> None: ...

    async def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> AsyncIterator[Delta]:
        yield Delta(f"{len(prompt.token_ids)}", [1])
        yield Delta(" tokens", [2], "stop")


def plan(deployment: Deployment) -> ToyPlan:
    return ToyPlan()


def build(model: Model, make_plan: Callable[[], ToyPlan], parts: EngineParts) -> ToyEngine:
    return ToyEngine(make_plan)
