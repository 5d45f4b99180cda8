"""A card's token limits, and the bound on what waits for the engine: a request counts until its first delta.

The numbers in the texts are what was counted and what is allowed.
"""

from dataclasses import replace

from app.errors import ContextExceeded, OutOfCapacity
from app.types import Sampling

LEAST_ANSWER_TOKENS = 1

RETRY_AFTER_S = 2


def check_limits(
    *,
    max_input_tokens: int | None,
    max_total_tokens: int,
    prompt_tokens: int,
    max_tokens: int,
    at_least: bool = False,
) -> None:
    """Raise `ContextExceeded` when the prompt, or prompt and `max_tokens` together, exceed the card's limits.

    `at_least` says that `prompt_tokens` is a lower bound (`PromptBuilder.count_at_least`): the text then
    says so too.
    """
    about = "at least " if at_least else ""
    if max_input_tokens is not None and prompt_tokens > max_input_tokens:
        raise ContextExceeded(
            f"The number of input tokens ({about}{prompt_tokens}) exceeded this model input limit "
            f"({max_input_tokens})."
        )
    total_tokens = prompt_tokens + max_tokens
    if total_tokens > max_total_tokens:
        raise ContextExceeded(
            f"The estimated number of input and maximum output tokens ({about}{total_tokens}) exceeded "
            f"this model context window limit ({max_total_tokens})."
        )


def fitted(sampling: Sampling, prompt_tokens: int, max_total_tokens: int) -> Sampling:
    """With `max_tokens` and `min_tokens` lowered to what the card leaves beside a prompt that passed `check_limits`."""
    room = max_total_tokens - prompt_tokens
    if sampling.max_tokens <= room:
        return sampling
    return replace(sampling, max_tokens=room, min_tokens=min(sampling.min_tokens, room))


class Ticket:
    """One admitted request. `started` when its first delta came; `close` in any case."""

    def __init__(self, admission: "Admission", tokens: int) -> None:
        self._admission = admission
        self._tokens = tokens
        self._waiting = True

    def started(self) -> None:
        if self._waiting:
            self._waiting = False
            self._admission.leave(self._tokens)

    close = started


class Admission:
    """At most `max_requests` waiting requests and `max_tokens` prompt tokens among them."""

    def __init__(self, max_requests: int, max_tokens: int) -> None:
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self.requests = 0
        self.tokens = 0

    def check(self, tokens: int = 0) -> None:
        """Raises OutOfCapacity when one more request with that many prompt tokens is one too many.

        A request alone is always admitted, however long: the card's limits bound it.
        """
        if self.requests >= self._max_requests:
            raise OutOfCapacity(f"{self.requests} requests are waiting.", RETRY_AFTER_S)
        if self.requests and self.tokens + tokens > self._max_tokens:
            raise OutOfCapacity(f"{self.tokens} prompt tokens are waiting.", RETRY_AFTER_S)

    def admit(self, tokens: int) -> Ticket:
        self.check(tokens)
        self.requests += 1
        self.tokens += tokens
        return Ticket(self, tokens)

    def leave(self, tokens: int) -> None:
        self.requests -= 1
        self.tokens -= tokens
