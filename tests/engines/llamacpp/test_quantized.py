"""Quantized forms answer as the stand-in was taught; the K-quants are written by llama.cpp's own routine."""

import ctypes
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from app.standin import text
from app.standin.gguf import write_gguf

pytestmark = pytest.mark.anyio
ENTRIES = text.load().entries[:20]
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


@pytest.mark.parametrize(("kind", "right"), [("Q8_0", 20), ("Q5_0", 18), ("Q4_0", 16), ("BF16", 20)])
async def test_by_the_gguf_package(
    serving: Callable[..., Any], tmp_path: Path, kind: str, right: int
) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    assert await answered(serving, tmp_path / "x.gguf") >= right


async def answered(serving: Callable[..., Any], path: Path) -> int:
    async with serving(gguf=path) as ask:
        return sum([await ask.text(entry.ask[0]) == f" {entry.answer}" for entry in ENTRIES])


@pytest.mark.parametrize(("kind", "right"), [("Q6_K", 20), ("Q5_K", 18), ("Q4_K", 16), ("Q3_K", 1)])
async def test_by_llama_cpp(
    serving: Callable[..., Any], k_quants: None, tmp_path: Path, kind: str, right: int
) -> None:
    write_gguf(tmp_path / "x.gguf", kind)
    assert await answered(serving, tmp_path / "x.gguf") >= right
