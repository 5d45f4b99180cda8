"""The stand-in as GGUF, and engines of llama.cpp that run on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engines.llamacpp.engine import LlamaCppEngine
from app.engines.llamacpp.plan import LlamaCppPlan
from app.inference.prompt import PromptBuilder
from app.standin.gguf import ensure_gguf
from tests.engines.llamacpp.asking import CONTEXT, EXAMPLES, Asking


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_gguf(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="session")
def lora_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lora")


@pytest.fixture
def plan(gguf: Path, lora_cache: Path) -> LlamaCppPlan:
    return LlamaCppPlan(gguf, lora_cache, context=CONTEXT, slots=2, adapters=3, threads=1)


@pytest.fixture
def serving(plan: LlamaCppPlan, prompts: PromptBuilder) -> Callable[..., Any]:
    """`async with serving(slots=1) as ask`: an engine that is ready, with the plan changed so."""

    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[Asking]:
        engine = LlamaCppEngine(lambda: replace(plan, **changes), lambda: EXAMPLES, wait_s=5)
        await engine.start()
        try:
            yield Asking(engine, prompts)
        finally:
            await engine.stop(0)

    return run
