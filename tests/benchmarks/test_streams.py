import pytest

from benchmarks.errors import BenchError
from benchmarks.load import Answer
from benchmarks.streams import read_stream
from benchmarks.workload import Stream

USAGE = b'"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}'
NATIVE = (
    b'data: {"response":"On","p":"abc"}\n\n',
    b'data: {"response":"e"}\n\ndata: {"resp',
    b'onse":" two"}\n\n',
    b'data: {"response":"",' + USAGE + b"}\n\ndata: [DONE]\n\n",
)
OPENAI = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"One"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":" two"},"finish_reason":"length"}]}\n\n',
    b'data: {"choices":[],' + USAGE + b"}\n\ndata: [DONE]\n\n",
)


def answer(*pieces: bytes) -> Answer:
    """Each piece comes half a second after the one before, the first at 0.5."""
    ends = [sum(map(len, pieces[: index + 1])) for index in range(len(pieces))]
    return Answer(200, b"".join(pieces), [((index + 1) / 2, end) for index, end in enumerate(ends)])


def test_a_native_stream() -> None:
    assert read_stream(answer(*NATIVE)) == Stream(9, 3, "One two", 0.5, [0.5, 0.5])


def test_an_openai_stream_begins_with_its_first_text_not_with_its_role() -> None:
    assert read_stream(answer(*OPENAI)) == Stream(9, 3, "One two", 1.0, [0.5])


def test_events_that_come_together_have_one_moment() -> None:
    assert read_stream(answer(b"".join(NATIVE))) == Stream(9, 3, "One two", 0.5, [0.0, 0.0])


def test_a_comment_is_no_event() -> None:
    assert read_stream(answer(b": still here\n\n", *NATIVE)) == Stream(9, 3, "One two", 1.0, [0.5, 0.5])


@pytest.mark.parametrize("pieces", [NATIVE[:3], NATIVE[3:], [b"no events"]])
def test_a_stream_without_text_or_usage_is_an_error(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(BenchError, match="no stream of text and usage: it ends"):
        read_stream(answer(*pieces))
