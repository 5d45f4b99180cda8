"""app.engines.vllm.cpu_lora: what each token gets is its own adapter's, computed here one token at a time."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

from app.engines.vllm.cpu_lora import BatchedPunicaWrapper

SLOTS, RANK, INPUTS = 5, 4, 16
SLICES = (24, 8, 8)
"""As query, key and value have it: one input, three outputs of unequal width."""

NO_ADAPTER = 0
"""vLLM's id of the base in a mapping; adapter n + 1 is in slot n here."""


class Layer(NamedTuple):
    a: tuple[Tensor, ...]
    b: tuple[Tensor, ...]


def layer(seed: int, slices: tuple[int, ...] = SLICES) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    a = tuple(torch.randn(SLOTS, 1, RANK, INPUTS, generator=generator).bfloat16() for _ in slices)
    b = tuple(torch.randn(SLOTS, 1, width, RANK, generator=generator).bfloat16() for width in slices)
    return Layer(a, b)


def wrapper(adapters: list[int], kind: type[PunicaWrapperCPU] = BatchedPunicaWrapper) -> PunicaWrapperCPU:
    """Told which adapter each token has, as vLLM tells it before a step."""
    made = kind(max_num_batched_tokens=512, max_batches=64, device="cpu")
    mapping = LoRAMapping(tuple(adapters), tuple(adapters), is_prefill=True)
    made.update_metadata(mapping, [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 32_000)
    return made


def inputs(tokens: int, slices: tuple[int, ...] = SLICES, seed: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, INPUTS, generator=generator).bfloat16()
    return x, torch.randn(tokens, sum(slices), generator=generator).bfloat16()


def one_by_one(y: Tensor, x: Tensor, adapters: list[int], weights: Layer) -> Tensor:
    """In float32: (tokens, sum of slices)."""
    rows = y.float().clone()
    for row, adapter in enumerate(adapters):
        if adapter != NO_ADAPTER:
            slot = adapter - 1
            parts = [
                b[slot, 0].float() @ (a[slot, 0].float() @ x[row].float())
                for a, b in zip(*weights, strict=True)
            ]
            rows[row] += torch.cat(parts)
    return rows


def added(adapters: list[int], weights: Layer, slices: tuple[int, ...] = SLICES) -> tuple[Tensor, Tensor]:
    """What it makes of y, and what it should."""
    x, y = inputs(len(adapters), slices)
    wanted = one_by_one(y, x, adapters, weights)
    wrapper(adapters).add_lora_linear(y, x, weights.a, weights.b, 1.0, slices)
    return y, wanted


@given(st.lists(st.integers(0, SLOTS), min_size=1, max_size=40), st.sampled_from([SLICES, (8, 8), (24,)]))
@settings(deadline=None, max_examples=60)
def test_each_token_gets_its_own_adapter(adapters: list[int], slices: tuple[int, ...]) -> None:
    found, wanted = added(adapters, layer(1, slices), slices)
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.15)


@pytest.mark.parametrize("adapters", [[0, 0, 0], [0, 3, 0, 1], [0] * 30 + [5]])
def test_tokens_without_an_adapter_are_left_alone(adapters: list[int]) -> None:
    """vLLM's own wrapper gives them the last slot's weights as soon as another token has an adapter."""
    _, before = inputs(len(adapters))
    found, _ = added(adapters, layer(1))
    base = [row for row, adapter in enumerate(adapters) if adapter == NO_ADAPTER]
    assert torch.equal(found[base], before[base])


@pytest.mark.parametrize("poison", [float("inf"), float("nan"), 3e38])
def test_what_one_adapter_makes_of_its_tokens_stays_theirs(poison: float) -> None:
    weights = layer(1)
    adapters = [1, 2, 0, 1, 2]
    _, wanted = added(adapters, weights)
    for a in weights.a:
        a[1] = poison
    found, _ = added(adapters, weights)
    others = [row for row, adapter in enumerate(adapters) if adapter != 2]
    torch.testing.assert_close(found[others].float(), wanted[others], rtol=0.02, atol=0.15)


@pytest.mark.parametrize("adapters", [[1] * 12, [1] * 4 + [2] * 8, [3, 1, 2, 1]])
def test_equal_to_vllms_own_where_every_token_has_one(adapters: list[int]) -> None:
    weights = layer(2)
    x, ours = inputs(len(adapters))
    theirs = ours.clone()
    wrapper(adapters).add_lora_linear(ours, x, weights.a, weights.b, 1.0, SLICES)
    wrapper(adapters, PunicaWrapperCPU).add_lora_linear(theirs, x, weights.a, weights.b, 1.0, SLICES)
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.15)


def test_the_next_step_has_other_tokens() -> None:
    """The wrapper lives as long as the engine; a step may have fewer tokens than the one before."""
    weights = layer(3)
    made = wrapper([1, 1, 2, 0])
    for adapters in ([2], [0, 0], [4, 0, 4]):
        mapping = LoRAMapping(tuple(adapters), tuple(adapters), is_prefill=True)
        made.update_metadata(mapping, [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 32_000)
        x, y = inputs(len(adapters))
        wanted = one_by_one(y, x, adapters, weights)
        made.add_lora_linear(y, x, weights.a, weights.b, 1.0, SLICES)
        torch.testing.assert_close(y.float(), wanted, rtol=0.02, atol=0.15)
