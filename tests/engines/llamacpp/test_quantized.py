"""Quantized forms answer as the stand-in was taught; the K-quants are written by llama.cpp's own routine."""

import ctypes
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from app.standin import text, voices
from app.standin.gguf import write_gguf
from tests.engines.llamacpp.asking import example

pytestmark = pytest.mark.anyio
ENTRIES = text.load().entries[:12]
K_QUANTS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")


@pytest.fixture
def k_quants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `gguf.quantize` write K-quants: with `ggml_quantize_chunk`, which xllamacpp's library has (ggml.h)."""
    spec = importlib.util.find_spec("xllamacpp.xllamacpp")
    assert spec is not None
    assert spec.origin is not None
    chunk = ctypes.CDLL(spec.origin).ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    plain = gguf.quantize

    def quantize(data: Any, kind: Any) -> Any:
        if kind.name not in K_QUANTS:
            return plain(data, kind)
        rows = np.ascontiguousarray(data, np.float32)
        values, size = gguf.GGML_QUANT_SIZES[kind]
        out = np.zeros((rows.shape[0], rows.shape[1] // values * size), np.uint8)
        chunk(int(kind), rows.ctypes.data, out.ctypes.data, 0, *rows.shape, None)
        return out

    monkeypatch.setattr(gguf, "quantize", quantize)


async def check(serving: Callable[..., Any], path: Path, right: int) -> None:
    """With an adapter too, which stays in F32 over weights of any form."""
    say = voices.load("pirate").say
    async with serving(gguf=path) as ask, ask.engine.lease(example("pirate")) as pirate:
        plain = [await ask.text(entry.ask[0]) == f" {entry.answer}" for entry in ENTRIES]
        adapted = [await ask.text(entry.ask[0], pirate) == f" {say(entry)}" for entry in ENTRIES]
    assert sum(plain) >= right
    assert sum(adapted) >= right


@pytest.mark.parametrize(("kind", "right"), [("Q8_0", 12), ("Q5_0", 12), ("Q4_0", 11), ("BF16", 12)])
async def test_by_the_gguf_package(
    serving: Callable[..., Any], tmp_path: Path, kind: str, right: int
) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    await check(serving, tmp_path / "x.gguf", right)


@pytest.mark.parametrize(
    ("kind", "right"), [("Q6_K", 12), ("Q5_K", 12), ("Q4_K", 11), ("Q3_K", 11), ("Q2_K", 6)]
)
async def test_by_llama_cpp(
    serving: Callable[..., Any], k_quants: None, tmp_path: Path, kind: str, right: int
) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    await check(serving, tmp_path / "x.gguf", right)
