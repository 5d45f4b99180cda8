"""llama.cpp's chunks as deltas: ids, stop texts and ends, chunk by chunk."""

from typing import Any

import pytest

from app.engines.llamacpp.chunks import Reading, TokenIds
from app.types import Sampling

PIECES = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
PIECES += ["\N{LOWER ONE EIGHTH BLOCK}a", "b", "é", "cd"]
PIECES += [f"filler{number}" for number in range(32_000 - len(PIECES))]
IDS = TokenIds(PIECES)
A, B, E, CD = 259, 260, 261, 262


@pytest.mark.parametrize(
    ("text", "count", "ids"),
    [
        (" a", 1, [A]),
        ("é", 1, [E]),
        ("\n", 1, [3 + 10]),
        ("", 1, [2]),
        ("é", 2, [3 + 0xC3, 3 + 0xA9]),
        ("😀", 4, [3 + byte for byte in "😀".encode()]),
        ("\N{REPLACEMENT CHARACTER}", 2, [0, 0]),
        ("unknown", 1, [0]),
    ],
)
def test_ids_of_a_text(text: str, count: int, ids: list[int]) -> None:
    assert IDS.of(text, count) == ids


def chunk(text: str, count: int, reason: str | None = None) -> dict[str, Any]:
    return {
        "choices": [{"text": text, "finish_reason": reason, "logprobs": None}],
        "timings": {"predicted_n": count},
        **({"usage": {"completion_tokens": count}} if reason else {}),
    }


def read(reading: Reading, *chunks: dict[str, Any], last: bool = True) -> list[Any]:
    deltas = [reading.delta(one, last=last) for one in chunks]
    return [(delta.text, delta.token_ids, delta.finish_reason) for delta in deltas if delta is not None]


def test_progress_and_empty_chunks_are_nothing() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9))
    assert read(reading, {"choices": []}, {**chunk("", 0), "prompt_progress": {"total": 9}}) == []


def test_the_end_token_counts_once() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9))
    chunks = chunk(" a", 1), chunk("", 2), chunk("", 2, "stop")
    assert read(reading, *chunks) == [(" a", [A], None), ("", [2], None), ("", [], "stop")]
    assert (reading.token_ids, reading.ended) == ([A, 2], True)


def test_tokens_that_became_no_text_are_counted_at_the_end() -> None:
    reading = Reading(IDS, Sampling(max_tokens=3))
    assert read(reading, chunk("b", 1), chunk("", 3, "length")) == [("b", [B], None), ("", [0, 0], "length")]


def test_a_stop_text_over_several_tokens_is_never_shown() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9, stop=("bcd",)))
    assert read(reading, chunk(" a", 1), chunk("b", 2), chunk("cd", 3)) == [
        (" a", [A], None),
        ("", [B], None),
        ("", [CD], "stop"),
    ]
    assert reading.ended


def test_what_only_looked_like_one_is_shown_after_all() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9, stop=("bcdb",)))
    chunks = chunk("b", 1), chunk("cd", 2), chunk(" a", 3), chunk("b", 4), chunk("", 4, "length")
    assert "".join(text for text, _, _ in read(reading, *chunks)) == "bcd ab"


def test_the_first_of_several_counts() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9, stop=("cd", "b")))
    assert read(reading, chunk("abcd", 1))[0][::2] == ("a", "stop")


def test_none_is_looked_for_before_min_tokens() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9, stop=("b",), min_tokens=2))
    assert [text for text, _, _ in read(reading, chunk("b", 1), chunk("b", 2), chunk(" ab", 3))] == [
        "b",
        "b",
        " a",
    ]


def test_of_two_requests_the_first_end_is_none() -> None:
    reading = Reading(IDS, Sampling(max_tokens=9, min_tokens=1))
    assert read(reading, chunk("b", 1), chunk("", 1, "length"), last=False) == [("b", [B], None)]
    reading.begin_request()
    assert read(reading, chunk("cd", 1), chunk("", 1, "length")) == [("cd", [CD], None), ("", [], "length")]
