"""One request as the scheduler has it: what it was asked, how far it is, and its delta for each drawn token."""

from collections.abc import Sequence
from typing import Final

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from app.engines.delta_stream import DeltaStream
from app.engines.stop_strings import StopStrings
from app.engines.transformers.attention import KvCache, Segment
from app.engines.transformers.grammar import Constraint
from app.engines.transformers.sampler import Sampler
from app.engines.transformers.vocabulary import Vocabulary
from app.types import Delta, FinishReason, Prompt, Sampling

INVALID_PREFIX: Final = "Invalid prefix encountered"
"""What tokenizers says when bytes that are no characters were followed by some that are, and it lost its place."""


class AnswerText:
    """`stop` texts are looked for in what comes after the first `min_tokens` tokens, as vLLM does."""

    def __init__(
        self, tokenizer: Tokenizer, prompt_ids: Sequence[int], stop: Sequence[str], min_tokens: int
    ) -> None:
        self._tokenizer = tokenizer
        # The prompt tells whether the first token begins with a space.
        self._stream = DecodeStream(ids=list(prompt_ids), skip_special_tokens=True)
        self._stops = StopStrings(stop)
        self._min_tokens = min_tokens
        self._tokens = 0

    def add(self, token_id: int) -> tuple[str, bool]:
        """The text that can be given out now, and whether a stop text came: then it is the last."""
        self._tokens += 1
        return self._stops.add(self._decode(token_id), look=self._tokens > self._min_tokens)

    @property
    def stop_text(self) -> str | None:
        """The stop text that came."""
        return self._stops.found

    def rest(self) -> str:
        """What is still held, at the end of the answer. Bytes that became no character are lost."""
        return self._stops.rest()

    def _decode(self, token_id: int) -> str:
        try:
            return self._stream.step(self._tokenizer, token_id) or ""
        except Exception as error:  # the package raises plain Exception, nothing narrower
            if not str(error).startswith(INVALID_PREFIX):
                raise
        self._stream = DecodeStream(skip_special_tokens=True)
        return self._stream.step(self._tokenizer, token_id) or ""


class RunningSequence:
    """Made in any thread, then used by the scheduler's alone; `stream` belongs to the event loop.

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
