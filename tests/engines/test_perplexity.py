"""Quantized forms against the unquantized ones: the perplexity of held-out answers, within `perplexity.MOST`."""

from pathlib import Path

import pytest

from app.engines.transformers.plan import Quantization
from app.settings import CHECKOUT
from app.standin.gguf import ensure_gguf
from tests.engines.gguf_forms import FORMS, Forms
from tests.engines.perplexity import (
    CHECKPOINTS,
    MOST,
    TESTED_CONVERSATIONS,
    Lessons,
    by_llama_cpp,
    lessons,
    of_checkpoint,
)

SAME = 1.0005
"""The most that the engines differ by where nothing is quantized: one rounds to bfloat16, the other to F16."""


@pytest.fixture(scope="module")
def asked() -> Lessons:
    return lessons(TESTED_CONVERSATIONS)


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_gguf(tmp_path_factory.mktemp("gguf"))


@pytest.fixture(scope="module")
def forms(gguf: Path) -> Forms:
    return Forms(gguf)


@pytest.fixture(scope="module")
def whole_checkpoint(asked: Lessons, standin_folder: Path) -> float:
    return of_checkpoint(asked, standin_folder, standin_folder, "none")


@pytest.fixture(scope="module")
def whole_gguf(asked: Lessons, gguf: Path) -> float:
    return by_llama_cpp(asked, gguf)


def test_the_engines_agree(whole_checkpoint: float, whole_gguf: float) -> None:
    assert 1 / SAME < whole_gguf / whole_checkpoint < SAME
    assert 1 < whole_gguf < 1.05  # it knows what it is asked


@pytest.mark.parametrize("form", CHECKPOINTS)
def test_checkpoints(
    form: Quantization, asked: Lessons, standin_folder: Path, tmp_path: Path, whole_checkpoint: float
) -> None:
    found = of_checkpoint(asked, standin_folder, tmp_path, form)
    assert found / whole_checkpoint <= MOST[form]


@pytest.mark.parametrize("form", FORMS)
def test_gguf(form: str, asked: Lessons, forms: Forms, tmp_path: Path, whole_gguf: float) -> None:
    found = by_llama_cpp(asked, forms.write(tmp_path / f"{form}.gguf", form))
    assert found / whole_gguf <= MOST[form]


def test_the_page_states_the_bounds() -> None:
    rows = [line.split("|") for line in (CHECKOUT / "docs" / "weights.md").read_text().splitlines()]
    measured = [row for row in rows if len(row) == 7 and row[1].strip() in ("transformers", "llama.cpp")]
    bounds = {row[2].strip(): float(row[5]) for row in measured if row[5].strip()}
    assert bounds == dict(MOST)
