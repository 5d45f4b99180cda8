"""A card's token limits. The numbers in the texts are what was counted and what is allowed."""

from dataclasses import replace

from app.errors import ContextExceeded
from app.types import Sampling

LEAST_ANSWER_TOKENS = 1


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
