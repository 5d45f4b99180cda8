"""GPTQ and AWQ checkpoints, packed by the formats' definitions: each weight as the nearest number."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors.torch import load_file, save_file

Method = Literal["gptq", "awq"]

AWQ_COLUMN: Final = [0, 2, 4, 6, 1, 3, 5, 7]
"""Which of eight neighbouring outputs stands at bits 0 to 3, at 4 to 7 and so on."""


@dataclass(frozen=True)
class Packed:
    """`tensors` of a module `m` with its `quantization_config`; `meant` is what they stand for, [outputs, inputs]."""

    tensors: dict[str, torch.Tensor]
    config: dict[str, Any]
    meant: torch.Tensor


@dataclass(frozen=True)
class _Numbers:
    """`numbers` [inputs, outputs], `zeros` and `scales` [groups, outputs], `groups` [inputs]."""

    numbers: torch.Tensor
    zeros: torch.Tensor
    scales: torch.Tensor
    groups: torch.Tensor

    def meant(self) -> torch.Tensor:
        return (self.scales[self.groups] * (self.numbers - self.zeros[self.groups])).T.contiguous()


def gptq(
    weight: torch.Tensor,
    bits: int,
    group_size: int,
    *,
    act_order: bool,
    v2: bool = False,
    symmetric: bool = False,
) -> Packed:
    """`weight` is [outputs, inputs]; a `group_size` of -1 is one group of all inputs. `v2` keeps zero points as they are,
    where the first version keeps them less one.
    """
    groups = _groups(weight, group_size)
    if act_order:
        groups = groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(1))]
    found = _nearest(weight.T, bits, groups, symmetric=symmetric)
    tensors = {
        "m.qweight": _in_int32s(found.numbers.T, bits).T.contiguous(),
        "m.qzeros": _in_int32s(found.zeros - (0 if v2 else 1), bits),
        "m.scales": found.scales.half(),
        "m.g_idx": groups.int(),
    }
    config = {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group_size,
        "desc_act": act_order,
        "sym": symmetric,
    }
    if v2:
        config["checkpoint_format"] = "gptq_v2"
    return Packed(tensors, config, found.meant())


def awq(weight: torch.Tensor, group_size: int) -> Packed:
    """`weight` is [outputs, inputs]; 4 bits, neighbouring inputs as groups."""
    found = _nearest(weight.T, 4, _groups(weight, group_size), symmetric=False)
    tensors = {
        "m.qweight": _in_int32s(_shuffled(found.numbers), 4),
        "m.qzeros": _in_int32s(_shuffled(found.zeros), 4),
        "m.scales": found.scales.half(),
    }
    config = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": group_size,
        "version": "gemm",
        "zero_point": True,
    }
    return Packed(tensors, config, found.meant())


def packed_standin(
    source: Path,
    folder: Path,
    method: Method,
    *,
    bits: int = 4,
    group_size: int = 128,
    act_order: bool = False,
    symmetric: bool = True,
) -> Path:
    """The stand-in of `source` as a checkpoint in a new `folder`, its matrices packed as the published ones are.

    Numbers beside them are float16, as there. Only GPTQ has `bits`, `act_order` and `symmetric`.
    """
    shutil.copytree(source, folder)
    state = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    packing: dict[str, Any] = {}
    for name in [name for name in state if name.endswith("_proj.weight")]:
        weight = state.pop(name).float()
        if method == "awq":
            packed = awq(weight, group_size)
        else:
            packed = gptq(weight, bits, group_size, act_order=act_order, symmetric=symmetric)
        packing = packed.config
        module = name.removesuffix(".weight")
        state |= {module + key.removeprefix("m"): tensor for key, tensor in packed.tensors.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    configure(folder, {"quantization_config": packing, "torch_dtype": "float16"})
    return folder


def configure(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change `config.json` of a weights folder."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _groups(weight: torch.Tensor, group_size: int) -> torch.Tensor:
    inputs = weight.shape[1]
    return torch.arange(inputs) // (group_size if group_size > 0 else inputs)


def _nearest(weight: torch.Tensor, bits: int, groups: torch.Tensor, *, symmetric: bool) -> _Numbers:
    """`weight` is [inputs, outputs]. A symmetric zero point is the middle of the 2**bits numbers."""
    count, top = int(groups.max()) + 1, 2**bits - 1
    members = [weight[groups == group] for group in range(count)]
    low = torch.stack([rows.amin(0) for rows in members]).clamp(max=0)
    high = torch.stack([rows.amax(0) for rows in members]).clamp(min=0)
    if symmetric:
        high = torch.maximum(high, -low)
        low = -high
    scales = ((high - low) / top).half().float().clamp(min=1e-4)
    zeros = torch.full_like(scales, 2 ** (bits - 1)) if symmetric else (-low / scales).round().clamp(1, top)
    numbers = (weight / scales[groups] + zeros[groups]).round().clamp(0, top)
    return _Numbers(numbers.long(), zeros.long(), scales, groups)


def _shuffled(columns: torch.Tensor) -> torch.Tensor:
    """Of each eight columns, those that AWQ puts first."""
    return columns.view(len(columns), -1, 8)[:, :, AWQ_COLUMN].flatten(1)


def _in_int32s(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Neighbouring columns in one int32, the first in the lowest bits."""
    each = numbers.reshape(len(numbers), -1, 32 // bits)
    packed = torch.stack([each[:, :, place] << (bits * place) for place in range(32 // bits)]).sum(0)
    return torch.where(packed < 2**31, packed, packed - 2**32).int()  # signed
