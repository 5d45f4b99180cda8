"""One request as the decoder has it: what it was asked, how far it is, and its delta for each drawn token."""

import torch

from app.engines.delta_stream import DeltaStream
from app.engines.transformers.attention import KvCache, Segment
from app.engines.transformers.grammar import Constraint
from app.engines.transformers.sampler import Sampler
from app.engines.transformers.text import AnswerText
from app.engines.transformers.vocabulary import Vocabulary
from app.types import Delta, FinishReason, Prompt, Sampling


class Row:
    """Made in any thread, then used by the decoder's alone; `stream` belongs to the event loop.

    `adapter` is the name of one that is loaded, or peft's for none. Nothing is computed beyond `max_model_len` tokens.
    """

    def __init__(
        self,
        stream: DeltaStream,
        prompt: Prompt,
        sampling: Sampling,
        vocabulary: Vocabulary,
        *,
        request_id: str,
        adapter: str,
        constraint: Constraint | None,
        max_model_len: int,
    ) -> None:
        self.stream = stream
        self.request_id = request_id
        self.adapter = adapter
        self.max_tokens = min(len(prompt.token_ids) + sampling.max_tokens, max_model_len)
        """Of prompt and answer together, at most."""
        self.cache: KvCache | None = None
        self.aborted = False
        self._sampling = sampling
        self._vocabulary = vocabulary
        self._tokens = list(prompt.token_ids)
        self._computed = 0
        self._sampler = Sampler(sampling, prompt.token_ids, vocabulary.end_ids, constraint)
        self._text = AnswerText(vocabulary.tokenizer, prompt.token_ids, sampling.stop, sampling.min_tokens)

    @property
    def due(self) -> int:
        """Tokens to compute before the next can be drawn: 1 once the prompt was read."""
        return len(self._tokens) - self._computed

    def take(self, count: int) -> tuple[Segment, list[int]]:
        """The next `count` of the tokens that are due, as part of a step."""
        assert self.cache is not None
        first = self._computed
        self._computed += count
        return Segment(self.cache, first, count), self._tokens[first : first + count]

    def answer(self, logits: torch.Tensor) -> Delta:
        """The next token's, from `logits` ([vocabulary], changed in place). Raises JsonModeUnmet."""
        drawn = self._sampler.draw(logits)
        self._tokens.append(drawn.token_id)
        text, reason = self._shown(drawn.token_id)
        logprobs = () if self._sampling.logprobs is None else (self._vocabulary.shown(drawn),)
        return Delta(text, [drawn.token_id], reason, 0, logprobs, stop_text=self._text.stop_text)

    def _shown(self, token_id: int) -> tuple[str, FinishReason | None]:
        if token_id in self._vocabulary.end_ids and not self._sampling.ignore_eos:
            return self._text.rest(), "stop"
        if token_id in self._sampling.stop_token_ids:
            return self._text.rest(), "stop"
        text, stopped = self._text.add(token_id)
        if stopped:
            return text, "stop"
        if len(self._tokens) >= self.max_tokens:
            return text + self._text.rest(), "length"
        return text, None
