"""Log probabilities as JSON can say them: a token that can't come has one that is a number all the same.

vLLM's objects are read here too, without an import of vLLM.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.types import TokenLogprob

LEAST: Final = -9999.0
"""What OpenAI's API and vLLM's server write for a token that is beyond their reach."""

TextOf = Callable[[int], str]

_BYTE: Final = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"


def shown(logprob: float | None) -> float:
    """`logprob` where it is a number above the least; that one for infinite ones, no number and none at all."""
    return logprob if logprob is not None and LEAST < logprob < math.inf else LEAST


def token_texts(tokenizer: Any) -> TextOf:
    """Gives a token's text within an answer: with the space that it begins with, which decoding it alone loses.

    For vocabularies in SentencePiece's form, with byte tokens; a byte that is no character by itself is U+FFFD. Control
    tokens have no text.
    """
    control = frozenset(tokenizer.all_special_ids)

    def text_of(token_id: int) -> str:
        if token_id in control:
            return ""
        piece: str = tokenizer.convert_ids_to_tokens(token_id)
        byte = _BYTE.fullmatch(piece)
        return bytes.fromhex(byte[1]).decode(errors="replace") if byte else piece.replace(_SPACE, " ")

    return text_of


def logprobs_of(
    token_ids: Sequence[int], choices: Sequence[Any], alternatives: int, text_of: TextOf
) -> tuple[TokenLogprob, ...]:
    """vLLM gives a mapping per token, by token id: the likeliest, and the drawn one wherever it ranks."""
    return tuple(
        _logprob(token_id, ranked, alternatives, text_of)
        for token_id, ranked in zip(token_ids, choices, strict=True)
    )


def _logprob(drawn: int, choices: Any, alternatives: int, text_of: TextOf) -> TokenLogprob:
    ranked = sorted(choices.items(), key=lambda choice: choice[1].rank)
    top = tuple((text_of(token), shown(one.logprob)) for token, one in ranked if one.rank <= alternatives)
    return TokenLogprob(text_of(drawn), shown(choices[drawn].logprob), top)
