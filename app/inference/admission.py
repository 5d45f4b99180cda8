"""A card's token limits, and the bound on what waits: a request counts from before its body is read to its first delta.

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


class Admission:
    """At most `max_requests` requests that wait, with `max_tokens` prompt tokens among them."""

    def __init__(self, max_requests: int, max_tokens: int) -> None:
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self.requests = 0
        self.tokens = 0

    def admit(self) -> "Place":
        """Take a place, before anything is done for the request. Raises OutOfCapacity when all are taken."""
        self.enter()
        return Place(self)

    def enter(self) -> None:
        if self.requests >= self._max_requests:
            raise OutOfCapacity(f"{self.requests} requests are waiting.", RETRY_AFTER_S)
        self.requests += 1

    def add(self, tokens: int) -> None:
        """Raises OutOfCapacity when these are too many beside the others: alone they are bounded by the card's limits."""
        if self.tokens and self.tokens + tokens > self._max_tokens:
            raise OutOfCapacity(f"{self.tokens} prompt tokens are waiting.", RETRY_AFTER_S)
        self.tokens += tokens

    def leave(self, tokens: int) -> None:
        self.requests -= 1
        self.tokens -= tokens


class Place:
    """One request's place among those that wait: from before its body is read to its first delta.

    As a block it is given up at the end, unless it was `kept` for a response that goes on.
    """

    __slots__ = ("_admission", "_kept", "_tokens", "_waits")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._tokens = 0
        self._waits = True
        self._kept = False

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._kept:
            self.give_up()

    def keep(self) -> None:
        """The response gives it up."""
        self._kept = True

    def move(self, admission: Admission) -> None:
        """To where the request waits, once its model is known. Raises OutOfCapacity."""
        if admission is not self._admission:
            admission.enter()
            self._admission.leave(self._tokens)
            self._admission = admission

    def add(self, tokens: int) -> None:
        """Say how long the prompt is. Raises OutOfCapacity."""
        self._admission.add(tokens)
        self._tokens = tokens

    def give_up(self) -> None:
        """The first delta came, or none will. Called again it does nothing."""
        if self._waits:
            self._waits = False
            self._admission.leave(self._tokens)
