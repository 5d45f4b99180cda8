"""The model as it is trained: the Mistral of `shape.CONFIG` with n + 1 rows instead of 32000.

Row n stands for every token that the training text does not use. As an input it is the unknown word; as an
output its logit is raised by log(32000 - n), because the full model has that many copies of it. Without this
the copies, each unlikely by itself, would together win most draws at temperature 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import MistralConfig, MistralForCausalLM

from app.standin.compact import Bits, Compact
from app.standin.recipe.conversations import Example
from app.standin.shape import CONFIG, VOCAB_SIZE

UNKNOWN_WORD_SHARE = 0.03
INITIAL_SPREAD = 0.06
"""About 1 / sqrt(hidden size). With the usual 0.02 attention to a certain word takes twice as many steps to form."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids`, `learn`: (batch, length). A position is learnt when its *next* token must be produced.

    With branches: `positions` (batch, length) and `sees` (batch, 1, length, length), what each token attends to.
    """

    ids: Tensor
    learn: Tensor
    positions: Tensor | None = None
    sees: Tensor | None = None


class Rows:
    """Which row of the reduced model a token of the real vocabulary has."""

    def __init__(self, kept_ids: list[int]) -> None:
        self.kept_ids = kept_ids
        self.rest = len(kept_ids)
        self._row = {token: row for row, token in enumerate(kept_ids)}

    def batch(self, examples: list[Example], noise: torch.Generator | None = None) -> Batch:
        """Pad on the right, which causal attention never looks at; `noise` makes some asked words unknown.

        Examples with branches get no noise: a tool's unknown name would spoil all of them. Either all or none
        of a batch have branches.
        """
        rows = [[self._row.get(token, self.rest) for token in example.ids] for example in examples]
        ids = _padded(rows, self.rest)
        learn = _padded([example.learn for example in examples], fill=False)
        if examples[0].branches:
            positions = _padded([example.positions for example in examples], 0)
            sees = _sees(_padded([example.branches for example in examples], -1))
            return Batch(ids, learn, positions, sees)
        if noise is not None:
            unknown = torch.rand(ids.shape, generator=noise) < UNKNOWN_WORD_SHARE
            unknown[:, 0] = False
            ids[unknown & ~learn] = self.rest
        return Batch(ids, learn)


def build(rows: Rows) -> MistralForCausalLM:
    """A float32 model with random weights."""
    own = {"vocab_size": rows.rest + 1, "dtype": "float32", "initializer_range": INITIAL_SPREAD}
    return MistralForCausalLM(MistralConfig(**{**CONFIG, **own}))


def answer_logits(model: MistralForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (k, n + 1) at the k positions before a learnt token, and those tokens' rows (k,)."""
    positions = None if batch.positions is None else batch.positions[:, :-1]
    sees = None if batch.sees is None else batch.sees[:, :, :-1, :-1]
    hidden = model.model(
        input_ids=batch.ids[:, :-1], position_ids=positions, attention_mask=sees, use_cache=False
    ).last_hidden_state
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


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


def _sees(branches: Tensor) -> Tensor:
    """Earlier tokens of the own branch and of the common beginning, and each token itself."""
    own = branches[:, None, :, None] == branches[:, None, None, :]
    return (own | (branches == 0)[:, None, None, :]).tril()


def _bits(tensor: Tensor) -> Bits:
    return tensor.detach().to(torch.bfloat16).view(torch.uint16).numpy()


def _float32(bits: Bits) -> Tensor:
    return torch.from_numpy(bits.copy()).view(torch.bfloat16).to(torch.float32)
