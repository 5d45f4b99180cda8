"""Log probabilities as JSON can say them: a token that can't come has one that is a number all the same."""

import math
from typing import Final

LEAST: Final = -9999.0
"""What OpenAI's API and vLLM's server write for a token that is beyond their reach."""


def shown(logprob: float | None) -> float:
    """`logprob` where it is a number above the least; that one for infinite ones, no number and none at all."""
    return logprob if logprob is not None and LEAST < logprob < math.inf else LEAST
