"""GPTQ and AWQ checkpoints unpacked to ordinary matrices, from the formats' definitions.

The packages that compute with packed weights need a GPU, or a compiler at the install; unpacked they take the memory of
the original weights, and everything that works with those works with them. Both formats keep a matrix as whole numbers
of a few bits, several to an int32, with a scale and a zero point for each output and group of inputs:
weight = scale * (number - zero point).

- GPTQ: `qweight` is [inputs / packed, outputs], lowest bits first; `qzeros` is [groups, outputs / packed] and holds one
  less than the zero point (itself in the format "gptq_v2"); `g_idx` has the group of each input, in whatever order they
  were quantized.
- AWQ ("gemm"): `qweight` is [inputs, outputs / 8] and `qzeros` [groups, outputs / 8], each int32 with its eight outputs
  in the order 0, 2, 4, 6, 1, 3, 5, 7; groups are neighbouring inputs.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch

from app.errors import StartupError

GPTQ_BITS: Final = (2, 4, 8)
"""Numbers of 3 bits cross the borders of the int32s; no published form of the model has them."""

AWQ_BITS: Final = 4
AWQ_ORDER: Final = (0, 2, 4, 6, 1, 3, 5, 7)
PACKED: Final = (".qweight", ".qzeros", ".scales", ".g_idx")

Tensors = Mapping[str, torch.Tensor]
Unpack = Callable[[Tensors, str], torch.Tensor]


def unpack(
    tensors: dict[str, torch.Tensor], packing: Mapping[str, Any], dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """The tensors of the unquantized model in `dtype`; `tensors` is emptied on the way. `packing` is the checkpoint's
    quantization_config. Raises StartupError for a packing that is not known here.
    """
    matrix = _gptq(packing) if packing["quant_method"] == "gptq" else _awq(packing)
    modules = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    unpacked = {}
    for module in modules:
        unpacked[f"{module}.weight"] = matrix(tensors, module).T.to(dtype).contiguous()
        for suffix in PACKED:
            tensors.pop(module + suffix, None)
    for name in list(tensors):
        unpacked[name] = tensors.pop(name).to(dtype)
    return {name: tensor for name, tensor in unpacked.items() if not _is_idle_bias(name, tensor, modules)}


def _is_idle_bias(name: str, tensor: torch.Tensor, modules: list[str]) -> bool:
    """The packers give each matrix a bias, zero throughout, where the model has none."""
    return name.endswith(".bias") and name.removesuffix(".bias") in modules and not bool(tensor.any())


def _gptq(packing: Mapping[str, Any]) -> Unpack:
    bits = packing.get("bits")
    if bits not in GPTQ_BITS:
        raise StartupError(
            f"weights: GPTQ with bits {bits!r}: expected one of {', '.join(map(str, GPTQ_BITS))}"
        )
    less_one = 0 if packing.get("checkpoint_format") == "gptq_v2" else 1
    group_size = packing.get("group_size", -1)

    def matrix(tensors: Tensors, module: str) -> torch.Tensor:
        """[inputs, outputs] in float32."""
        numbers = _numbers(tensors[f"{module}.qweight"].T, bits).T
        zeros = _numbers(tensors[f"{module}.qzeros"], bits) + less_one
        groups = tensors.get(f"{module}.g_idx")
        if groups is None:
            groups = _neighbours(numbers.shape[0], group_size)
        return _weights(numbers, zeros, tensors[f"{module}.scales"], groups.long())

    return matrix


def _awq(packing: Mapping[str, Any]) -> Unpack:
    bits, version = packing.get("bits"), str(packing.get("version", "gemm")).lower()
    if bits != AWQ_BITS or version != "gemm":
        raise StartupError(
            f'weights: AWQ with bits {bits!r} in version "{version}": expected {AWQ_BITS} in version "gemm"'
        )
    group_size = packing.get("group_size", -1)

    def matrix(tensors: Tensors, module: str) -> torch.Tensor:
        """[inputs, outputs] in float32."""
        numbers = _in_order(_numbers(tensors[f"{module}.qweight"], bits))
        zeros = _in_order(_numbers(tensors[f"{module}.qzeros"], bits))
        groups = _neighbours(numbers.shape[0], group_size)
        return _weights(numbers, zeros, tensors[f"{module}.scales"], groups)

    return matrix


def _numbers(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """int32 [rows, columns] as [rows, columns * 32 / bits], each from the lowest bits up."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    numbers: torch.Tensor = (packed.to(torch.int32)[:, :, None] >> shifts) & ((1 << bits) - 1)
    return numbers.flatten(1)


def _in_order(numbers: torch.Tensor) -> torch.Tensor:
    """Columns that come in AWQ's order as they are counted."""
    places = torch.tensor(AWQ_ORDER).argsort()
    return numbers.view(numbers.shape[0], -1, len(AWQ_ORDER))[:, :, places].flatten(1)


def _neighbours(inputs: int, group_size: int) -> torch.Tensor:
    """The group of each input; -1 is one group of all."""
    return torch.arange(inputs) // (group_size if group_size > 0 else inputs)


def _weights(
    numbers: torch.Tensor, zeros: torch.Tensor, scales: torch.Tensor, groups: torch.Tensor
) -> torch.Tensor:
    return scales.float()[groups] * (numbers - zeros[groups])
