"""The model as it is trained: the Mistral of `shape.CONFIG` with n + 1 rows instead of 32000.

Row n stands for every token that the training text does not use. As an input it is the unknown word; as an
output its logit is raised by log(32000 - n), because the full model has that many copies of it. Without this
the copies, each unlikely by itself, would together win most draws at temperature 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import MistralConfig, MistralForCausalLM

from app.standin.compact import Bits, Compact
from app.standin.conversations import Example
from app.standin.shape import CONFIG, VOCAB_SIZE

UNKNOWN_WORD_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`, `learn`: (batch, length). A position is learnt when its *next* token must be produced."""

    ids: Tensor
    learn: Tensor


class Rows:
    """Which row of the reduced model a token of the real vocabulary has."""

    def __init__(self, kept_ids: list[int]) -> None:
        self.kept_ids = kept_ids
        self.rest = len(kept_ids)
        self._row = {token: row for row, token in enumerate(kept_ids)}

    def batch(self, examples: list[Example], noise: torch.Generator | None = None) -> Batch:
        """Pad on the right, which causal attention never looks at; `noise` makes some asked words unknown."""
        longest = max(len(example.ids) for example in examples)
        ids = torch.full((len(examples), longest), self.rest)
        learn = torch.zeros((len(examples), longest), dtype=torch.bool)
        for i, example in enumerate(examples):
            ids[i, : len(example.ids)] = torch.tensor([self._row.get(t, self.rest) for t in example.ids])
            learn[i, : len(example.ids)] = torch.tensor(example.learn)
        if noise is not None:
            unknown = torch.rand(ids.shape, generator=noise) < UNKNOWN_WORD_SHARE
            unknown[:, 0] = False
            ids[unknown & ~learn] = self.rest
        return Batch(ids, learn)


def build(rows: Rows) -> MistralForCausalLM:
    """A float32 model with random weights."""
    return MistralForCausalLM(MistralConfig(**{**CONFIG, "vocab_size": rows.rest + 1, "dtype": "float32"}))


def answer_logits(model: MistralForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (k, n + 1) at the k positions before a learnt token, and those tokens' rows (k,)."""
    hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
    learn = batch.learn[:, 1:]
    return model.lm_head(hidden[learn]), batch.ids[:, 1:][learn]


def loss(model: MistralForCausalLM, batch: Batch, rest: int) -> Tensor:
    """Mean cross-entropy of the answers' tokens, in nats, over all 32000 tokens."""
    logits, targets = answer_logits(model, batch)
    raised = torch.zeros(logits.shape[-1])
    raised[rest] = math.log(VOCAB_SIZE - rest)
    return functional.cross_entropy(logits + raised, targets)


@torch.inference_mode()
def wrong(model: MistralForCausalLM, rows: Rows, examples: list[Example]) -> list[int]:
    """Indices of the examples that greedy decoding would not answer word for word."""
    found = []
    for index, example in enumerate(examples):
        logits, targets = answer_logits(model, rows.batch([example]))
        if not bool((logits.argmax(-1) == targets).all()):
            found.append(index)
    return found


def to_compact(model: MistralForCausalLM, rows: Rows, recipe: str) -> Compact:
    """Round to bfloat16; the tied output head is left out."""
    tensors = {n: _bits(t) for n, t in model.state_dict().items() if n != "lm_head.weight"}
    return Compact(np.array(rows.kept_ids, np.int32), tensors, recipe)


def from_compact(compact: Compact) -> tuple[MistralForCausalLM, Rows]:
    """The reduced model in float32, holding exactly the committed bfloat16 values."""
    rows = Rows(compact.kept_ids.tolist())
    model = build(rows)
    state = {name: _float32(bits) for name, bits in compact.tensors.items()}
    model.load_state_dict({**state, "lm_head.weight": state["model.embed_tokens.weight"]})
    return model, rows


def _bits(tensor: Tensor) -> Bits:
    return tensor.detach().to(torch.bfloat16).view(torch.uint16).numpy()


def _float32(bits: Bits) -> Tensor:
    return torch.from_numpy(bits.copy()).view(torch.bfloat16).to(torch.float32)
