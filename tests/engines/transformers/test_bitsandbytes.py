"""8-bit and 4-bit weights by bitsandbytes, on a CPU: as right as the whole ones, with adapters too."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.engines.deployment import LoadQuantization
from app.engines.transformers import model as loading
from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.errors import StartupError
from app.standin.recipe import voices
from app.standin.recipe.text import load
from app.types import Prompt, StoredAdapter

from .conftest import WHOLE, ask_engine, taught

pytestmark = pytest.mark.anyio
SAYS = voices.load("pirate").say


@pytest.mark.parametrize(("quantization", "layer"), [("8-bit", "Linear8bitLt"), ("4-bit", "Linear4bit")])
async def test_answers(
    quantization: LoadQuantization,
    layer: str,
    plan: TransformersPlan,
    asked: Sequence[Prompt],
    adapters: dict[str, StoredAdapter],
) -> None:
    pirate = adapters["pirate"]
    engine = TransformersEngine(lambda: replace(plan, dtype="bfloat16", quantization=quantization), wait_s=1)
    await engine.start()
    try:
        assert _layers(engine) == {layer}
        answers, spoken = await asyncio.gather(
            asyncio.gather(*(ask_engine(engine, prompt, WHOLE) for prompt in asked[::4])),
            asyncio.gather(*(ask_engine(engine, prompt, WHOLE, pirate) for prompt in asked[:4])),
        )
    finally:
        await engine.stop(0)
    assert [answer.text for answer in answers] == taught()[::4]
    assert [answer.text for answer in spoken] == [f" {SAYS(entry)}" for entry in load().entries[:4]]
    assert {answer.reason for answer in [*answers, *spoken]} == {"stop"}


def _layers(engine: TransformersEngine) -> set[str]:
    """The kinds of the layers that have the matrices."""
    assert engine._runtime is not None
    modules = engine._runtime.model._backbone.named_modules()
    return {type(module).__name__ for name, module in modules if name.endswith("_proj")}


async def test_without_the_package(plan: TransformersPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "BITSANDBYTES", "no_such_package")
    engine = TransformersEngine(lambda: replace(plan, quantization="4-bit"), wait_s=1)
    with pytest.raises(
        StartupError, match=r'^quantization "4-bit" needs the package no_such_package: install it'
    ):
        await engine.start()
    assert engine.health().state == "failed"
