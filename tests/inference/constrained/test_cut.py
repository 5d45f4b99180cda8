"""app.inference.constrained.cut: what helps an answer that was cut."""

import pytest

from app.inference.constrained.cut import BLANK_CHARS, ENDLESS_CHARS, why_cut


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ": ask for more"),
        ('{"a": [1, 2', ": ask for more"),
        ('{"a": "short', ": ask for more"),
        ('{"a": "' + "x" * ENDLESS_CHARS + '", "b": "y', ": ask for more"),
        ('{"a": "' + "x" * (ENDLESS_CHARS - 1), ": ask for more"),
        (
            '{"a": "' + "x" * ENDLESS_CHARS,
            f" in a text of {ENDLESS_CHARS} characters, and more tokens may not",
        ),
        (
            '{"a": "' + '\\"' * 300,
            " in a text of 600 characters, and more tokens may not help: give it a maxLength",
        ),
        ('{"a": "b", "' + "k" * 500, " in a text of 500 characters"),
        ('{"a":' + " \n" * BLANK_CHARS, " in white space without end, and more tokens don't help"),
        ('{"a":' + " " * (BLANK_CHARS - 1), ": ask for more"),
    ],
)
def test_what_is_said(text: str, says: str) -> None:
    assert why_cut(text, 40).startswith(f"was cut off at max_tokens (40){says}")


def test_a_long_answer_is_read_in_no_time() -> None:
    assert "white space" in why_cut('{"a": "' + '\\"' * 200_000 + '"}' + "\n" * 200_000, 1)
