"""From logits to one token, in vLLM's order: grammar, end token, penalties, temperature, top_k, top_p, draw."""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import torch

from app.engines.transformers.grammar import Constraint
from app.types import Sampling

MIN_TEMPERATURE: Final = 0.01
"""As vLLM has it."""

NO_TOKEN: Final = -torch.inf

NUCLEUS_TOKENS: Final = 512
"""Nearly every top_p is reached by that many tokens, and all of them are sorted only where it is not."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token with the natural logarithm of its probability before penalties and temperature, and the likeliest ones
    with theirs. Both are 0 and empty where they were not asked for.
    """

    token_id: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Draws the tokens of one request. A seed gives the same tokens whatever runs beside it."""

    def __init__(
        self,
        sampling: Sampling,
        prompt_ids: Collection[int],
        end_ids: Collection[int],
        constraint: Constraint | None = None,
    ) -> None:
        self._sampling = sampling
        self._constraint = constraint
        self._end_ids = [*(() if sampling.ignore_eos else end_ids), *sampling.stop_token_ids]
        self._drawn = Counter[int]()
        self._repeatable = set(prompt_ids) if sampling.repetition_penalty != 1.0 else set[int]()
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def draw(self, logits: torch.Tensor) -> Drawn:
        """`logits`: [vocabulary] float32 on the CPU, changed in place. Raises JsonModeUnmet."""
        if self._constraint is not None:
            self._constraint.mask(logits)
        plain = None if self._sampling.logprobs is None else logits.log_softmax(dim=-1)
        self._forbid_end(logits)
        self._penalize(logits)
        token_id = self._choose(logits)
        self._drawn[token_id] += 1
        if self._constraint is not None:
            self._constraint.accept(token_id)
        return Drawn(token_id) if plain is None else _with_logprobs(token_id, plain, self._sampling.logprobs)

    def _forbid_end(self, logits: torch.Tensor) -> None:
        """No end before `min_tokens`, unless the grammar allows nothing else."""
        if not self._end_ids or self._drawn.total() >= self._sampling.min_tokens:
            return
        allowed = logits[self._end_ids]
        logits[self._end_ids] = NO_TOKEN
        if self._constraint is not None and bool(logits.isneginf().all()):
            logits[self._end_ids] = allowed

    def _penalize(self, logits: torch.Tensor) -> None:
        sampling = self._sampling
        if sampling.repetition_penalty != 1.0:
            ids = torch.tensor(list(self._repeatable.union(self._drawn)))
            values = logits[ids]
            penalty = sampling.repetition_penalty
            logits[ids] = torch.where(values > 0, values / penalty, values * penalty)
        if self._drawn and (sampling.frequency_penalty or sampling.presence_penalty):
            ids = torch.tensor(list(self._drawn))
            counts = torch.tensor(list(self._drawn.values()), dtype=torch.float32)
            logits[ids] -= sampling.frequency_penalty * counts + sampling.presence_penalty

    def _choose(self, logits: torch.Tensor) -> int:
        sampling = self._sampling
        if sampling.temperature == 0:
            return int(logits.argmax())
        logits /= max(sampling.temperature, MIN_TEMPERATURE)
        if sampling.min_p > 0:
            logits[logits < logits.max() + math.log(sampling.min_p)] = NO_TOKEN
        if 0 < sampling.top_k < logits.shape[0]:
            _keep_likeliest(logits, sampling.top_k)
        if sampling.top_p < 1.0:
            _keep_nucleus(logits, sampling.top_p)
        return _one_of(logits, self._generator)


def _one_of(logits: torch.Tensor, generator: torch.Generator) -> int:
    """A token by its probability, from one random number: noise for each token would take longer than all the rest."""
    sums = logits.double().softmax(dim=-1).cumsum(dim=-1)
    place = torch.rand((), dtype=torch.float64, generator=generator) * sums[-1]
    token_id = int(torch.searchsorted(sums, place, right=True))
    return token_id if token_id < logits.shape[0] else int(logits.argmax())  # rounded up to the very end


def _keep_likeliest(logits: torch.Tensor, count: int) -> None:
    logits[logits < logits.topk(count).values[-1]] = NO_TOKEN


def _keep_nucleus(logits: torch.Tensor, share: float) -> None:
    """The likeliest tokens that have `share` of the probability together, at least one."""
    likely, ids = logits.softmax(dim=-1).topk(min(NUCLEUS_TOKENS, logits.shape[0]))
    if likely.sum() < share:
        likely, ids = logits.softmax(dim=-1).sort(descending=True)
    likelier = likely.cumsum(dim=-1) - likely
    dropped = torch.ones_like(logits, dtype=torch.bool)
    dropped[ids[likelier < share]] = False
    dropped[ids[0]] = False
    logits[dropped] = NO_TOKEN


def _with_logprobs(token_id: int, plain: torch.Tensor, count: int | None) -> Drawn:
    values, ids = plain.topk(count or 0)
    top = tuple(zip(ids.tolist(), values.tolist(), strict=True))
    return Drawn(token_id, float(plain[token_id]), top)
