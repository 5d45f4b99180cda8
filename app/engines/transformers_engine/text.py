"""Text of an answer while it grows: whole characters only, and nothing from a stop text on."""

from collections.abc import Sequence
from typing import Final

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

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
        self._stop = stop
        self._min_tokens = min_tokens
        self._tokens = 0
        self._held = ""  # may be the beginning of a stop text
        self._hold_chars = max((len(text) for text in stop), default=1) - 1

    def add(self, token_id: int) -> tuple[str, bool]:
        """The text that can be given out now, and whether a stop text came: then it is the last."""
        self._tokens += 1
        new = self._decode(token_id)
        start = len(self._held)
        self._held += new
        end = self._stop_start(start) if new and self._tokens > self._min_tokens else None
        if end is not None:
            self._held = self._held[:end]
            return self.rest(), True
        return self._give(len(self._held) - self._hold_chars), False

    def rest(self) -> str:
        """What is still held, at the end of the answer. Bytes that became no character are lost."""
        return self._give(len(self._held))

    def _give(self, chars: int) -> str:
        given, self._held = self._held[: max(chars, 0)], self._held[max(chars, 0) :]
        return given

    def _stop_start(self, new_from: int) -> int | None:
        """Where the stop text begins that ends first, among those that end at or after `new_from`."""
        found = []
        for text in self._stop:
            at = self._held.find(text, max(new_from - len(text) + 1, 0))
            if at >= 0:
                found.append((at + len(text), at))
        return min(found, key=lambda one: one[0])[1] if found else None  # of equals the first in the list

    def _decode(self, token_id: int) -> str:
        try:
            return self._stream.step(self._tokenizer, token_id) or ""
        except Exception as error:  # the package raises plain Exception, nothing narrower
            if not str(error).startswith(INVALID_PREFIX):
                raise
        self._stream = DecodeStream(skip_special_tokens=True)
        return self._stream.step(self._tokenizer, token_id) or ""
