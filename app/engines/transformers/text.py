"""Text of an answer while it grows: whole characters only, and nothing from a stop text on."""

from collections.abc import Sequence
from typing import Final

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from app.engines.stop_strings import StopStrings

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
