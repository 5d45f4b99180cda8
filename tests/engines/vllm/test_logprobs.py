"""app.engines.logprobs: what it makes of vLLM's log probabilities."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast
from vllm.logprobs import Logprob

from app.engines.logprobs import TextOf, logprobs_of, token_texts
from app.types import TokenLogprob

DRAWN, LIKELY, SECOND = 7, 3, 5
CHOICES = {
    DRAWN: Logprob(-4.0, 9, "drawn"),
    LIKELY: Logprob(-0.1, 1, "likely"),
    SECOND: Logprob(-2.0, 2, "second"),
}


def test_alternatives_are_the_likeliest_in_order() -> None:
    assert logprobs_of([DRAWN], [CHOICES], 2, str) == (TokenLogprob("7", -4.0, (("3", -0.1), ("5", -2.0))),)
    assert logprobs_of([DRAWN], [{DRAWN: CHOICES[DRAWN]}], 0, str) == (TokenLogprob("7", -4.0),)


def test_one_for_each_token() -> None:
    assert logprobs_of([], [], 2, str) == ()
    two = logprobs_of([DRAWN, LIKELY], [CHOICES, CHOICES], 1, str)
    assert [token.text for token in two] == ["7", "3"]


@pytest.fixture(scope="module")
def tokenizer(standin_folder: Path) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_file=str(standin_folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )


@pytest.mark.parametrize("text", ["How are you?", "a  b\nc\td", "x = [1, 2]", ""])
def test_texts_follow_each_other_to_the_answer(tokenizer: Any, text: str) -> None:
    text_of: TextOf = token_texts(tokenizer)
    token_ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(map(text_of, token_ids)).removeprefix(" ") == text
    assert "".join(map(text_of, [1, *token_ids, 2])).removeprefix(" ") == text


def test_bytes(tokenizer: Any) -> None:
    assert token_texts(tokenizer)(tokenizer.convert_tokens_to_ids("<0x0A>")) == "\n"
    assert token_texts(tokenizer)(tokenizer.convert_tokens_to_ids("<0xC3>")) == "\ufffd"
