"""Quantized forms answer as the stand-in was taught, with an adapter too, which stays in F32 over weights of any form.

What each costs is in tests/engines/perplexity.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.standin.gguf import write_gguf
from app.standin.recipe import text, voices
from tests.engines.gguf_forms import Forms
from tests.engines.llamacpp.asking import example

pytestmark = pytest.mark.anyio
ENTRIES = text.load().entries[:8]
FORMS = ("Q2_K", "Q3_K_S", "Q4_0", "Q4_K_M", "Q5_0", "Q6_K", "Q8_0")


@pytest.fixture(scope="module")
def forms(gguf: Path) -> Forms:
    return Forms(gguf)


@pytest.mark.parametrize("form", FORMS)
async def test_forms(serving: Callable[..., Any], forms: Forms, tmp_path: Path, form: str) -> None:
    await check(serving, forms.write(tmp_path / "x.gguf", form))


@pytest.mark.parametrize("kind", ["BF16", "Q8_0"])
async def test_what_the_stand_in_is_written_as(
    serving: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    await check(serving, tmp_path / "x.gguf")


async def check(serving: Callable[..., Any], path: Path) -> None:
    say = voices.load("pirate").say
    async with serving(gguf=path) as ask, ask.engine.lease(example("pirate")) as pirate:
        plain = [await ask.text(entry.ask[0]) for entry in ENTRIES]
        spoken = [await ask.text(entry.ask[0], pirate) for entry in ENTRIES]
    assert plain == [f" {entry.answer}" for entry in ENTRIES]
    assert spoken == [f" {say(entry)}" for entry in ENTRIES]
