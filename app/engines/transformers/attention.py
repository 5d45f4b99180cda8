"""Attention over requests of different lengths without padding: each has its own keys and values.

A step's new tokens stand one per row of the batch (shape [tokens, 1]), so that peft can give each its adapter, and
neighbouring rows of one request are a segment. transformers knows nothing of it: it hands queries, keys and values of
all rows to the attention that is registered here by name, which tells the segments apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME: Final = "outworker_segments"


class KvCache:
    """Keys and values of one request: [2, layers, kv heads, capacity in tokens, head size]."""

    def __init__(
        self, layers: int, kv_heads: int, capacity: int, head_dim: int, *, dtype: torch.dtype, device: str
    ) -> None:
        self._values = torch.empty(2, layers, kv_heads, capacity, head_dim, dtype=dtype, device=device)

    def extend(
        self, layer: int, first: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put `keys` and `values` ([tokens, kv heads, head size]) at position `first`; gives all up to their end, each
        as [kv heads, tokens, head size].
        """
        end = first + keys.shape[0]
        self._values[0, layer, :, first:end] = keys.transpose(0, 1)
        self._values[1, layer, :, first:end] = values.transpose(0, 1)
        return self._values[0, layer, :, :end], self._values[1, layer, :, :end]


@dataclass(frozen=True, slots=True)
class Segment:
    """`count` new tokens of one request, the first of them at position `first`."""

    cache: KvCache
    first: int
    count: int


def register() -> None:
    """Make the attention known to transformers under `NAME`. Doing it again changes nothing."""
    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    segments: Sequence[Segment],
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' interface: `query` is [rows, heads, 1, head size], `key` and `value` have the KV heads.

    The result is [rows, 1, heads, head size]. `segments` cover the rows in order.
    """
    layer: int = module.layer_idx  # type: ignore[assignment]
    out = torch.empty_like(query.transpose(1, 2))
    start = 0
    for segment in segments:
        rows = slice(start, start + segment.count)
        start += segment.count
        keys, values = segment.cache.extend(layer, segment.first, key[rows, :, 0], value[rows, :, 0])
        attended = _one if segment.count == 1 else _several
        out[rows, 0] = attended(query[rows, :, 0], keys, values, scaling, sliding_window)
    return out, None


def _one(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float, window: int | None
) -> torch.Tensor:
    """One query, [1, heads, head size], which may look at everything. The heads that share keys stand as if they were
    neighbouring queries, so that no key has to be copied for each of them.
    """
    kv_heads, length, head_dim = keys.shape
    first = 0 if window is None else max(length - window, 0)
    grouped = query.view(1, kv_heads, -1, head_dim)
    found = scaled_dot_product_attention(
        grouped, keys[None, :, first:], values[None, :, first:], scale=scaling
    )
    return found.reshape(1, -1, head_dim)


def _several(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scaling: float, window: int | None
) -> torch.Tensor:
    """Queries [tokens, heads, head size] of the last positions of `keys`; none looks ahead."""
    count, length = query.shape[0], keys.shape[1]
    causal = count == length and window is None
    found = scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        keys[None],
        values[None],
        attn_mask=None if causal else _mask(count, length, window, query.device),
        is_causal=causal,
        scale=scaling,
        enable_gqa=True,
    )
    return found[0].transpose(0, 1)


def _mask(count: int, length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Which of `length` keys each of the last `count` queries may look at: itself and what is before it, the nearest
    `window` of them at most.
    """
    queries = torch.arange(length - count, length, device=device)[:, None]
    distance = queries - torch.arange(length, device=device)[None]
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
