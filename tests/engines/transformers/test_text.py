"""app.engines.transformers.sequence: whole characters, and nothing from a stop text on."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from app.engines.transformers.sequence import AnswerText

PROMPT = "<s>[INST] Say something. [/INST]"


@pytest.fixture(scope="module")
def tokenizer(standin_folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(standin_folder / "tokenizer.json"))


def pieces(
    tokenizer: Tokenizer, text: str, stop: Sequence[str] = (), min_tokens: int = 0, prompt: str = PROMPT
) -> tuple[list[str], bool]:
    """What is given out for each token of `text`, and at the end; whether a stop text came."""
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    answer = AnswerText(tokenizer, ids, stop, min_tokens)
    given = []
    for token_id in tokenizer.encode(text, add_special_tokens=False).ids:
        piece, stopped = answer.add(token_id)
        given.append(piece)
        if stopped:
            return given, True
    return [*given, answer.rest()], False


@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
)
def test_the_pieces_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    """Characters that take several tokens come whole: no piece has half of one."""
    given, _ = pieces(tokenizer, text)
    assert "".join(given).lstrip(" ") == text.lstrip(" ")


def test_a_character_of_four_tokens(tokenizer: Tokenizer) -> None:
    given, _ = pieces(tokenizer, "a\N{WATER POLO}b")
    assert [piece for piece in given if piece] == [" a", "\N{WATER POLO}", "b"]
    assert len(given) >= 6


@pytest.mark.parametrize(
    ("stop", "expected", "stopped"),
    [
        (("three",), " one two ", True),
        (("wo th",), " one t", True),
        (("four", "two"), " one ", True),
        (("one two three four five",), " one two three four", False),
        ((" two three", "three"), " one", True),
        (("e two", "two"), " on", True),
        (("two ",), " one ", True),
        (("five",), " one two three four", False),
    ],
)
def test_stop_texts(tokenizer: Tokenizer, stop: tuple[str, ...], expected: str, stopped: bool) -> None:
    """The one that ends first counts, of those that end together the first in the list; what could be the beginning of
    one is held back.
    """
    given, found = pieces(tokenizer, "one two three four", stop)
    assert ("".join(given), found) == (expected, stopped)
    for count in range(len(given)):
        assert expected.startswith("".join(given[:count]))


def test_no_stop_text_in_the_first_tokens(tokenizer: Tokenizer) -> None:
    """Nor one that ended in them, though it may still be held; the next is found."""
    for stop in (("two",), ("two", "a text as long as all of it")):
        given, found = pieces(tokenizer, "one two one two", stop, min_tokens=3)
        assert ("".join(given), found) == (" one two one ", True)


def test_control_tokens_have_no_text(tokenizer: Tokenizer) -> None:
    given, _ = pieces(tokenizer, "one</s><s> two")
    assert "".join(given).split() == ["one", "two"]


def test_bytes_that_are_no_character(tokenizer: Tokenizer) -> None:
    """Two lead bytes, then a word: nothing raises, and the word is whole."""
    answer = AnswerText(tokenizer, tokenizer.encode(PROMPT, add_special_tokens=False).ids, (), 0)
    lead = tokenizer.token_to_id("<0xF0>")
    assert lead is not None
    ids = [lead, lead, *tokenizer.encode("word", add_special_tokens=False).ids]
    text = "".join(answer.add(token_id)[0] for token_id in ids) + answer.rest()
    assert text.endswith("word")
    assert "".join(text.split("\ufffd")).strip() == "word"
