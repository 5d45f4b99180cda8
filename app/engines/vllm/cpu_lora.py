"""LoRA on a CPU: a step's tokens times the matrices of all its adapters at once, what is not a token's own made zero.

vLLM's own CPU wrapper (0.32) copies an adapter's matrices once for every token of a step and multiplies each token by
its copy, which was nearly the whole cost of adapters (benchmarks/README.md). It also gives tokens without an adapter
the weights of the last slot (vLLM pull requests 48421, 49656); here they are left alone.

The work of a step grows with its tokens times its different adapters, and the matrices side by side are its memory.

vLLM imports this by name (`app.engines.vllm.cpu_platform`) in the process that computes.
"""

from typing import Any

import torch
from torch import Tensor

from app.engines.vllm.compat import PunicaWrapperCPU


class BatchedPunicaWrapper(PunicaWrapperCPU):  # type: ignore[misc]  # mypy does not follow vllm
    """vLLM's, but for linear layers: what our adapters may have (`app.adapters.inspection.base_model`)."""

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        """Called before a step whose adapters differ from the last one's."""
        super().update_metadata(*args, **kwargs)
        slot_of_token = self.token_lora_indices
        tokens = (slot_of_token >= 0).nonzero().squeeze(1)
        self._slots: list[int] = slot_of_token[tokens].unique().tolist()
        self._tokens = None if len(tokens) == len(slot_of_token) else tokens
        self._foreign = slot_of_token[tokens, None] != torch.tensor(self._slots)

    def add_lora_linear(  # noqa: PLR0917  vLLM calls it so
        self,
        y: Tensor,
        x: Tensor,
        lora_a_stacked: tuple[Tensor, ...],
        lora_b_stacked: tuple[Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """y += scale * x @ A.T @ B.T with each token's own A and B, for each slice of y's columns; y changes in place.

        x is (tokens, in), y (tokens, sum of output_slices); each A is (slots, 1, rank, in), each B (slots, 1, out, rank).
        """
        if not self._slots:
            return
        x = x if self._tokens is None else x[self._tokens]
        a = torch.cat([stacked[slot, 0] for stacked in lora_a_stacked for slot in self._slots])
        shrunk = (x @ a.T).view(len(x), len(output_slices), len(self._slots), -1)
        if len(self._slots) > 1:  # not times zero: that would let another adapter's infinity through
            shrunk.masked_fill_(self._foreign[:, None, :, None], 0)
        start = 0
        for index, (stacked, width) in enumerate(zip(lora_b_stacked, output_slices, strict=True)):
            b = torch.cat([stacked[slot, 0] for slot in self._slots], dim=1)
            columns = y[:, start : start + width]
            if self._tokens is None:
                columns.addmm_(shrunk[:, index].flatten(1), b.T, alpha=scale)
            else:
                columns.index_add_(0, self._tokens, shrunk[:, index].flatten(1) @ b.T, alpha=scale)
            start += width
