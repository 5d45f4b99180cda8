"""app.engines.transformers_engine.packed: checkpoints that the test packs by the formats' definitions."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.engines.transformers_engine.engine import TransformersEngine
from app.engines.transformers_engine.packed import unpack
from app.engines.transformers_engine.plan import TransformersPlan
from app.errors import StartupError
from app.standin.text import questions
from app.types import Prompt

from .conftest import GREEDY, ask_engine

pytestmark = pytest.mark.anyio
AWQ_COLUMN = [0, 2, 4, 6, 1, 3, 5, 7]
"""Which of eight neighbouring outputs stands at bits 0 to 3, at 4 to 7 and so on."""

Packed = tuple[dict[str, torch.Tensor], dict[str, Any], torch.Tensor]


def quantize(
    weight: torch.Tensor, bits: int, groups: list[int]
) -> tuple[list[list[int]], list[list[int]], list[list[float]]]:
    """`weight` [inputs, outputs] as numbers, and zero points and scales [groups][outputs]: the nearest of 2**bits."""
    members = [
        [index for index, group in enumerate(groups) if group == wanted] for wanted in range(max(groups) + 1)
    ]
    top, zeros, scales = 2**bits - 1, [], []
    for rows in members:
        low, high = weight[rows].amin(0).clamp(max=0), weight[rows].amax(0).clamp(min=0)
        scale = ((high - low) / top).half().float().clamp(min=1e-4)
        scales.append(scale)
        zeros.append((-low / scale).round().clamp(1, top))
    chosen = torch.tensor(groups)
    numbers = (weight / torch.stack(scales)[chosen] + torch.stack(zeros)[chosen]).round().clamp(0, top)
    return (
        numbers.long().tolist(),
        torch.stack(zeros).long().tolist(),
        torch.stack(scales).tolist(),
    )


def int32(numbers: Sequence[int], bits: int) -> int:
    """The first in the lowest bits, as a signed number."""
    value = sum(number << (bits * place) for place, number in enumerate(numbers))
    return value - 2**32 if value >= 2**31 else value


def in_int32s(row: list[int], bits: int) -> list[int]:
    each = 32 // bits
    return [int32(row[start : start + each], bits) for start in range(0, len(row), each)]


def columns(rows: list[list[int]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)]


def gptq(weight: torch.Tensor, bits: int, group_size: int, *, act_order: bool, v2: bool = False) -> Packed:
    """`weight` is [outputs, inputs]. The last is what it stands for, [outputs, inputs]."""
    inputs = weight.shape[1]
    groups = [index // (group_size if group_size > 0 else inputs) for index in range(inputs)]
    if act_order:
        order = torch.randperm(inputs, generator=torch.Generator().manual_seed(1)).tolist()
        groups = [groups[place] for place in order]
    numbers, zeros, scales = quantize(weight.T, bits, groups)
    less = 0 if v2 else 1
    tensors = {
        "m.qweight": torch.tensor(
            columns([in_int32s(column, bits) for column in columns(numbers)]), dtype=torch.int32
        ),
        "m.qzeros": torch.tensor(
            [in_int32s([zero - less for zero in row], bits) for row in zeros], dtype=torch.int32
        ),
        "m.scales": torch.tensor(scales).half(),
        "m.g_idx": torch.tensor(groups, dtype=torch.int32),
    }
    packing = {"quant_method": "gptq", "bits": bits, "group_size": group_size, "desc_act": act_order}
    if v2:
        packing["checkpoint_format"] = "gptq_v2"
    return tensors, packing, meaning(numbers, zeros, scales, groups)


def awq(weight: torch.Tensor, group_size: int) -> Packed:
    inputs = weight.shape[1]
    groups = [index // (group_size if group_size > 0 else inputs) for index in range(inputs)]
    numbers, zeros, scales = quantize(weight.T, 4, groups)

    def row(values: list[int]) -> list[int]:
        shuffled = [values[start + column] for start in range(0, len(values), 8) for column in AWQ_COLUMN]
        return in_int32s(shuffled, 4)

    tensors = {
        "m.qweight": torch.tensor([row(values) for values in numbers], dtype=torch.int32),
        "m.qzeros": torch.tensor([row(values) for values in zeros], dtype=torch.int32),
        "m.scales": torch.tensor(scales).half(),
    }
    packing = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": group_size,
        "version": "gemm",
        "zero_point": True,
    }
    return tensors, packing, meaning(numbers, zeros, scales, groups)


def meaning(
    numbers: list[list[int]], zeros: list[list[int]], scales: list[list[float]], groups: list[int]
) -> torch.Tensor:
    return torch.tensor(
        [
            [scales[group][output] * (number - zeros[group][output]) for output, number in enumerate(row)]
            for row, group in zip(numbers, groups, strict=True)
        ]
    ).T


WEIGHT = torch.randn(24, 64, generator=torch.Generator().manual_seed(7)) * 0.05


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group_size", [-1, 16])
@pytest.mark.parametrize("act_order", [False, True])
def test_gptq(bits: int, group_size: int, act_order: bool) -> None:
    weight = torch.cat([WEIGHT, WEIGHT[:8]]) if bits == 2 else WEIGHT
    tensors, packing, meant = gptq(weight, bits, group_size, act_order=act_order)
    found = unpack(tensors, packing, torch.float32)
    torch.testing.assert_close(found, {"m.weight": meant}, rtol=1e-6, atol=1e-9)
    assert (meant - weight).abs().max() < 0.3 / 2**bits * 2
    assert not tensors  # emptied on the way


def test_gptq_without_g_idx_has_neighbours_as_groups() -> None:
    tensors, packing, meant = gptq(WEIGHT, 4, 16, act_order=False)
    del tensors["m.g_idx"]
    torch.testing.assert_close(
        unpack(tensors, packing, torch.float32)["m.weight"], meant, rtol=1e-6, atol=1e-9
    )


def test_gptq_v2_has_the_zero_points_themselves() -> None:
    tensors, packing, meant = gptq(WEIGHT, 4, 16, act_order=True, v2=True)
    torch.testing.assert_close(
        unpack(tensors, packing, torch.float32)["m.weight"], meant, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("group_size", [-1, 16, 32])
def test_awq(group_size: int) -> None:
    tensors, packing, meant = awq(WEIGHT, group_size)
    found = unpack(tensors, packing, torch.float32)
    torch.testing.assert_close(found, {"m.weight": meant}, rtol=1e-6, atol=1e-9)
    assert (meant - WEIGHT).abs().max() < 0.3 / 16


def test_what_is_not_packed_stays_and_an_idle_bias_goes() -> None:
    tensors, packing, _ = awq(WEIGHT, 16)
    tensors["norm.weight"] = torch.ones(3).half()
    tensors["m.bias"] = torch.zeros(24).half()
    found = unpack(tensors, packing, torch.bfloat16)
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
    method: str, standin_folder: Path, plan: TransformersPlan, asked: Sequence[Prompt], tmp_path: Path
) -> None:
    """The stand-in, packed in 4 bits by 64: most taught answers are still right, and come from the packed files."""
    folder = packed_standin(standin_folder, tmp_path / method, method)
    engine = TransformersEngine(
        lambda: replace(plan, folder=folder, quantization=method, dtype="float16"), wait_s=1
    )
    await engine.start()
    try:
        some = list(zip(asked, questions(), strict=True))[::10]
        answers = [await ask_engine(engine, prompt, GREEDY) for prompt, _ in some]
    finally:
        await engine.stop(0)
    right = sum(
        answer.startswith(found.text.strip()) for found, (_, (_, answer)) in zip(answers, some, strict=True)
    )
    assert right >= len(some) * 2 // 3


def packed_standin(source: Path, folder: Path, method: str) -> Path:
    shutil.copytree(source, folder)
    state = load_file(folder / "model.safetensors")
    packing: dict[str, Any] = {}
    for name in [name for name in state if name.endswith("_proj.weight")]:
        weight = state.pop(name).float()
        packed = gptq(weight, 4, 64, act_order=True) if method == "gptq" else awq(weight, 64)
        tensors, packing, _ = packed
        module = name.removesuffix(".weight")
        state |= {module + key.removeprefix("m"): tensor for key, tensor in tensors.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": packing}))
    return folder
