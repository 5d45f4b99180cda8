"""The loaded model: tokens of several requests in, logits out."""

from collections.abc import Sequence
from typing import Any

import torch

from app.engines.transformers.attention import KvCache, Segment
from app.engines.transformers.lora import Adapters


class StepModel:
    """A MistralForCausalLM whose attention is `app.engines.transformers.attention`. One thread uses it."""

    def __init__(self, causal: Any, *, dtype: torch.dtype, device: str) -> None:
        self._backbone = causal.model
        self._head = causal.lm_head
        self._config = causal.config
        self.dtype = dtype
        self.device = device
        self.adapters = Adapters(causal)

    def cache(self, capacity: int) -> KvCache:
        """For a request of at most `capacity` tokens. A GPU gives all of that memory at once, a CPU what is written."""
        config = self._config
        return KvCache(
            config.num_hidden_layers,
            config.num_key_value_heads,
            capacity,
            config.head_dim,
            dtype=self.dtype,
            device=self.device,
        )

    def logits(
        self, segments: Sequence[Segment], token_ids: Sequence[int], names: list[str], wanted: Sequence[int]
    ) -> torch.Tensor:
        """Compute `token_ids`, which `segments` cover in order, each with the adapter in `names`.

        Gives [len(wanted), vocabulary] in float32: what follows the tokens at the rows `wanted`.
        """
        self.adapters.name_rows(names)
        positions = [segment.first + offset for segment in segments for offset in range(segment.count)]
        hidden = self._backbone(
            input_ids=self._column(token_ids),
            position_ids=self._column(positions),
            use_cache=False,
            segments=segments,
        ).last_hidden_state
        rows = torch.tensor(wanted, dtype=torch.int64, device=self.device)
        return self._head(hidden[rows, 0]).float()  # type: ignore[no-any-return]

    def _column(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)[:, None]
