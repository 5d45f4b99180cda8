"""app.engines.transformers.dequantize: checkpoints that the test packs by the formats' definitions."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.engines.transformers.dequantize import unpack
from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.errors import StartupError
from app.types import Prompt
from tests.engines.packing import Method, Packed, awq, gptq, packed_standin

from .conftest import WHOLE, ask_engine, taught

pytestmark = pytest.mark.anyio
WEIGHT = torch.randn(24, 64, generator=torch.Generator().manual_seed(7)) * 0.05


def agrees(packed: Packed) -> None:
    """What the engine reads is what was meant."""
    found = unpack(dict(packed.tensors), packed.config, torch.float32)
    torch.testing.assert_close(found, {"m.weight": packed.meant}, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group_size", [-1, 16])
@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("symmetric", [False, True])
def test_gptq(bits: int, group_size: int, act_order: bool, symmetric: bool) -> None:
    weight = torch.cat([WEIGHT, WEIGHT[:8]]) if bits == 2 else WEIGHT
    packed = gptq(weight, bits, group_size, act_order=act_order, symmetric=symmetric)
    agrees(packed)
    assert (packed.meant - weight).abs().max() < 0.3 / 2**bits * 2


def test_gptq_without_g_idx_has_neighbours_as_groups() -> None:
    packed = gptq(WEIGHT, 4, 16, act_order=False)
    del packed.tensors["m.g_idx"]
    agrees(packed)


def test_gptq_v2_has_the_zero_points_themselves() -> None:
    agrees(gptq(WEIGHT, 4, 16, act_order=True, v2=True))


@pytest.mark.parametrize("group_size", [-1, 16, 32])
def test_awq(group_size: int) -> None:
    packed = awq(WEIGHT, group_size)
    agrees(packed)
    assert (packed.meant - WEIGHT).abs().max() < 0.3 / 16


def test_what_is_packed_is_given_up_on_the_way() -> None:
    packed = awq(WEIGHT, 16)
    unpack(packed.tensors, packed.config, torch.float32)
    assert not packed.tensors


def test_what_is_not_packed_stays_and_an_idle_bias_goes() -> None:
    packed = awq(WEIGHT, 16)
    packed.tensors["norm.weight"] = torch.ones(3).half()
    packed.tensors["m.bias"] = torch.zeros(24).half()
    found = unpack(packed.tensors, packed.config, torch.bfloat16)
    assert {name: tensor.dtype for name, tensor in found.items()} == dict.fromkeys(
        ["m.weight", "norm.weight"], torch.bfloat16
    )


@pytest.mark.parametrize(
    ("packing", "says"),
    [
        ({"quant_method": "gptq", "bits": 3}, "GPTQ with bits 3: expected one of 2, 4, 8"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, 'AWQ with bits 4 in version "gemv"'),
        ({"quant_method": "awq", "bits": 8}, "AWQ with bits 8"),
    ],
)
def test_packings_that_are_unknown(packing: dict[str, Any], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        unpack({}, packing, torch.float32)


@pytest.mark.parametrize("method", ["gptq", "awq"])
async def test_a_whole_checkpoint(
    method: Method, standin_folder: Path, plan: TransformersPlan, asked: Sequence[Prompt], tmp_path: Path
) -> None:
    """The stand-in, packed in 4 bits, GPTQ with act order as most published ones: taught answers are right and whole."""
    folder = packed_standin(standin_folder, tmp_path / method, method, act_order=True)
    engine = TransformersEngine(
        lambda: replace(plan, folder=folder, quantization=method, dtype="float16"), wait_s=1
    )
    await engine.start()
    try:
        answers = await asyncio.gather(*(ask_engine(engine, prompt, WHOLE) for prompt in asked[::4]))
    finally:
        await engine.stop(0)
    assert [answer.text for answer in answers] == taught()[::4]
    assert {answer.reason for answer in answers} == {"stop"}
