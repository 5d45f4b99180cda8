"""What llama.cpp is given of a machine's memory, for a Mistral 7B of which only the head is there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from app.engines.llamacpp.gguf.model import read_model
from app.engines.llamacpp.plan import (
    GENERATIONS,
    MAX_ADAPTERS,
    MAX_SLOTS,
    LlamaCppPlan,
    Requested,
    needed_bytes,
    size_plan,
)
from app.engines.memory import GIB
from app.errors import StartupError
from app.standin import gguf as standin
from app.standin.shape import CONFIG

CONTEXT = 15_000
SHAPE = {
    **CONFIG,
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32768,
}
CACHE_BYTES = 131_072
"""Of a token: 32 layers, 8 heads, 128 numbers of 2 bytes, keys and values."""
ADAPTER_BYTES = 335_544_320
"""Rank 32 on all modules in F32."""
Plan = Callable[..., LlamaCppPlan]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In Q4_0, with holes in place of the numbers."""
    path = tmp_path_factory.mktemp("7b") / "7b.gguf"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(standin, "CONFIG", SHAPE)
        writer = gguf.GGUFWriter(path, "llama")
        standin._add_shape(writer)
        standin._add_vocabulary(writer)
        add_tensors(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
    os.truncate(path, path.stat().st_size + 5 * GIB)
    return path


def add_tensors(writer: gguf.GGUFWriter) -> None:
    modules = {
        "attn_q": (4096, 4096),
        "attn_k": (1024, 4096),
        "attn_v": (1024, 4096),
        "attn_output": (4096, 4096),
        "ffn_gate": (14336, 4096),
        "ffn_up": (14336, 4096),
        "ffn_down": (4096, 14336),
    }
    names: dict[str, tuple[int, ...]] = {
        f"blk.{n}.{name}": shape for n in range(32) for name, shape in modules.items()
    }
    names |= {f"blk.{n}.{name}": (4096,) for n in range(32) for name in ("attn_norm", "ffn_norm")}
    names |= {"token_embd": (32000, 4096), "output": (32000, 4096), "output_norm": (4096,)}
    for name, shape in names.items():
        if len(shape) == 1:
            writer.add_tensor_info(f"{name}.weight", shape, np.dtype(np.float32), 4 * shape[0])
        else:
            rows, size = shape[0], shape[1] // 32 * 18
            kind = gguf.GGMLQuantizationType.Q4_0
            writer.add_tensor_info(
                f"{name}.weight", (rows, size), np.dtype(np.uint8), rows * size, raw_dtype=kind
            )


@pytest.fixture
def planned(large: Path, tmp_path: Path) -> Plan:
    def plan(free_bytes: float, **requested: Any) -> LlamaCppPlan:
        return size_plan(
            large, tmp_path, context=CONTEXT, requested=Requested(**requested), free_bytes=int(free_bytes)
        )

    return plan


def demand(plan: LlamaCppPlan) -> int:
    return needed_bytes(
        read_model(plan.gguf).size,
        context=CONTEXT,
        cache_bytes_per_token=CACHE_BYTES,
        slots=plan.slots,
        adapters=plan.adapters,
        adapter_bytes=ADAPTER_BYTES,
    )


def test_the_head_says_what_is_needed(large: Path) -> None:
    model = read_model(large)
    assert (model.cache_bytes_per_token, model.adapter_bytes) == (CACHE_BYTES, ADAPTER_BYTES)
    assert 3.7 * GIB < model.size < 4.1 * GIB


def test_with_the_least_it_starts_and_with_a_byte_less_it_says_what_is_missing(planned: Plan) -> None:
    least = demand(LlamaCppPlan(planned(30 * GIB).gguf, Path(), CONTEXT, slots=1, adapters=1))
    plan = planned(least)
    assert (plan.slots, plan.adapters) == (1, 1)
    with pytest.raises(
        StartupError, match=r"1 requests of 15000 tokens at once and 1 adapters, .* are free: end"
    ):
        planned(least - 1)


@pytest.mark.parametrize("free_gib", [10, 12, 16, 24, 48, 200])
def test_no_more_is_taken_than_there_is(planned: Plan, free_gib: int) -> None:
    plan = planned(free_gib * GIB)
    assert demand(plan) <= free_gib * GIB
    assert 1 <= plan.slots <= MAX_SLOTS
    assert 1 <= plan.adapters <= MAX_ADAPTERS
    if free_gib == 200:
        assert (plan.slots, plan.adapters) == (MAX_SLOTS, MAX_ADAPTERS)


def test_without_adapters_there_is_one_server(planned: Plan) -> None:
    each = CONTEXT * CACHE_BYTES
    plan = planned(12 * GIB, adapters=0)
    assert plan.adapters == 0
    assert plan.slots > planned(12 * GIB).slots
    assert demand(plan) <= 12 * GIB < demand(plan) + each


def test_what_the_settings_say_is_kept_and_shown(planned: Plan) -> None:
    plan = planned(40 * GIB, kv_cache_gib=4.5, adapters=3)
    assert (plan.slots, plan.adapters) == (2, 3)
    shown = {choice.by_hand: choice for choice in plan.choices}
    assert shown["kv_cache_gib"].reason.startswith("set by you, for 2 requests")
    assert shown["max_adapters_resident"].reason == "set by you"
    with pytest.raises(StartupError, match=r"kv_cache_gib is too small: .* needs 1\.83 GiB, found 1$"):
        planned(40 * GIB, kv_cache_gib=1)
    with pytest.raises(StartupError, match="set kv_cache_gib or max_adapters_resident lower"):
        planned(12 * GIB, kv_cache_gib=4.5, adapters=3)


def test_a_card_of_more_tokens_than_the_weights_know_is_refused(large: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="made for 32768 tokens, the card allows 32769"):
        size_plan(large, tmp_path, context=32_769, free_bytes=100 * GIB)


def test_two_servers_are_counted() -> None:
    """The weights once, all else twice."""
    one, two = (needed_bytes(n, context=1, cache_bytes_per_token=0) for n in (1, 2))
    assert two - one == 1
    kept, more = (needed_bytes(0, context=n, cache_bytes_per_token=7, adapters=2) for n in (1, 2))
    assert more - kept == GENERATIONS * 7
