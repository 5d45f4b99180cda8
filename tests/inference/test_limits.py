"""app.inference.admission: both numbers in the text, the limit itself allowed."""

from typing import Any

import pytest

from app.errors import ContextExceeded
from app.inference.admission import check_limits


def refusal(**numbers: Any) -> str:
    with pytest.raises(ContextExceeded) as caught:
        check_limits(**{"max_input_tokens": 3072, "max_total_tokens": 4096, **numbers})
    return str(caught.value)


def test_at_the_limits() -> None:
    check_limits(max_input_tokens=3072, max_total_tokens=4096, prompt_tokens=3072, max_tokens=1024)
    check_limits(max_input_tokens=None, max_total_tokens=15000, prompt_tokens=14744, max_tokens=256)


def test_input() -> None:
    text = "The number of input tokens (3073) exceeded this model input limit (3072)."
    assert refusal(prompt_tokens=3073, max_tokens=1) == text


def test_total() -> None:
    text = (
        "The estimated number of input and maximum output tokens (4097) exceeded "
        "this model context window limit (4096)."
    )
    assert refusal(prompt_tokens=3072, max_tokens=1025) == text
    assert refusal(max_input_tokens=None, prompt_tokens=4096, max_tokens=1) == text


def test_a_lower_bound_says_so() -> None:
    assert "(at least 625000)" in refusal(prompt_tokens=625_000, max_tokens=256, at_least=True)
    text = refusal(max_input_tokens=None, prompt_tokens=625_000, max_tokens=256, at_least=True)
    assert "(at least 625256)" in text
