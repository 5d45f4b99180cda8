"""app.engines.transformers.attention: requests of different lengths in one step, each as if it were alone."""

from types import SimpleNamespace

import pytest
import torch

from app.engines.transformers.attention import KvCache, Segment, attend

HEADS, KV_HEADS, HEAD_DIM, LAYERS = 4, 2, 8, 2
LAYER = SimpleNamespace(layer_idx=1)
SCALING = 0.3


def naive(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: int | None) -> torch.Tensor:
    """One query at a time and one head at a time, by the definition: [tokens, heads, head size] each."""
    out = torch.empty_like(query)
    for position in range(query.shape[0]):
        first = 0 if window is None else max(0, position - window + 1)
        for head in range(HEADS):
            kv = head // (HEADS // KV_HEADS)
            scores = keys[first : position + 1, kv] @ query[position, head] * SCALING
            out[position, head] = scores.softmax(0) @ values[first : position + 1, kv]
    return out


@pytest.mark.parametrize("window", [None, 1, 3, 100])
@pytest.mark.parametrize(
    "splits", [[[7], [5]], [[3, 4], [1, 4]], [[1] * 7, [5]], [[2, 1, 1, 3], [4, 1]]], ids=str
)
def test_in_pieces_and_beside_others(window: int | None, splits: list[list[int]]) -> None:
    """Two requests of 7 and 5 tokens, computed in the given pieces, in common steps while both have some."""
    torch.manual_seed(3)
    lengths = [sum(pieces) for pieces in splits]
    queries = [torch.randn(length, HEADS, HEAD_DIM) for length in lengths]
    keys = [torch.randn(length, KV_HEADS, HEAD_DIM) for length in lengths]
    values = [torch.randn(length, KV_HEADS, HEAD_DIM) for length in lengths]
    caches = [
        KvCache(LAYERS, KV_HEADS, length, HEAD_DIM, dtype=torch.float32, device="cpu") for length in lengths
    ]
    found: list[list[torch.Tensor]] = [[], []]
    done = [0, 0]
    for step in range(max(map(len, splits))):
        taking = [index for index in range(2) if step < len(splits[index])]
        parts = {index: slice(done[index], done[index] + splits[index][step]) for index in taking}
        out, _ = attend(
            LAYER,  # type: ignore[arg-type]
            torch.cat([queries[index][parts[index]] for index in taking])[:, :, None],
            torch.cat([keys[index][parts[index]] for index in taking])[:, :, None],
            torch.cat([values[index][parts[index]] for index in taking])[:, :, None],
            None,
            scaling=SCALING,
            segments=[Segment(caches[index], done[index], splits[index][step]) for index in taking],
            sliding_window=window,
            dropout=0.0,
        )
        start = 0
        for index in taking:
            found[index].append(out[start : start + splits[index][step], 0])
            start += splits[index][step]
            done[index] += splits[index][step]
    for index in range(2):
        expected = naive(queries[index], keys[index], values[index], window)
        torch.testing.assert_close(torch.cat(found[index]), expected, rtol=1e-5, atol=1e-6)
