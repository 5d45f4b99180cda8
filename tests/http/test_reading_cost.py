"""app/http/framing.py, app/http/chunks.py: what reading costs, in calls and pieces, which no clock can change.

A stranger chooses the bytes and the packets: none may cost more than others by much.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest

from app.errors import ApiError
from app.http.framing import Head, RequestReader
from tests.http.framing_shapes import HOST

PACKET_BYTES = 65_536
MAX_HEADER_BYTES = 65_536
HEAD = b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


class Listener:
    """Hears a connection's requests."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended = 0

    def begin_request(self, head: Head) -> None: ...

    def take_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def end_request(self) -> None:
        self.ended += 1

    def is_full(self) -> bool:
        return False


def packets(data: bytes, size: int = PACKET_BYTES) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def read(*pieces: bytes) -> tuple[Listener, Counter[str], type[ApiError] | None]:
    """Who heard it, how often each function was called for it, and what refused it."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, called: Any) -> None:
        if event in ("call", "c_call"):
            calls[frame.f_code.co_name if event == "call" else called.__name__] += 1

    listener = Listener()
    reader = RequestReader(listener, MAX_HEADER_BYTES)
    refused = None
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for piece in pieces:
            reader.feed(piece)
    except ApiError as error:
        refused = type(error)
    finally:
        sys.setprofile(before)
    return listener, calls, refused


def one_chunk(content: bytes) -> bytes:
    return HEAD + b"%x\r\n%b\r\n" % (len(content), content) + LAST


@pytest.mark.parametrize(
    "content",
    [
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"0\r\n\r\n",
        b"1\r\na\r\n",
        GET,
        b"\r\n" * 3 + b"a",
        b"\0",
        b'{"a": 1}',
    ],
)
@pytest.mark.parametrize("size", [PACKET_BYTES, 1000])
def test_a_chunk_costs_the_same_whatever_stands_in_it(content: bytes, size: int) -> None:
    body = content * (300_000 // len(content))
    data = list(packets(one_chunk(body), size))
    listener, calls, refused = read(*data)
    assert b"".join(listener.pieces) == body
    assert (listener.ended, refused) == (1, None)
    assert len(listener.pieces) <= len(data)
    assert calls.total() < 20 * len(data) + 200


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"2\r\n\r\n\r\n", b"4\r\n\r\n\r\n\r\n", b"1;a=b\r\na\r\n"])
def test_small_chunks_are_one_piece_for_each_packet(chunk: bytes) -> None:
    chunks = 20_000
    data = list(packets(HEAD + chunk * chunks + LAST))
    listener, calls, refused = read(*data)
    assert (listener.ended, refused) == (1, None)
    assert len(listener.pieces) <= len(data)
    assert calls.total() < 12 * chunks


LONG = MAX_HEADER_BYTES - 100
BEGINNINGS = {
    "a target": b"GET /" + b"a" * LONG,
    "a header": GET[:-2] + b"x: " + b"a" * (LONG - len(GET)),
    "headers": GET[:-2] + b"a:\r\n" * (LONG // 4 - len(GET)),
    "an extension": HEAD + b"1;" + b"a" * LONG,
    "a quoted extension": HEAD + b'1;a="' + b"\\a" * (LONG // 2),
    "an extension of a later chunk": HEAD + b"1\r\na\r\n1;" + b"a" * LONG,
    "a trailer": HEAD + b"0\r\nx: " + b"a" * LONG,
    "trailers": HEAD + b"0\r\n" + b"a:\r\n" * (LONG // 4),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_has_come_before_is_not_looked_at_again_with_each_byte(name: str) -> None:
    """Nothing that reads a whole line is called more often for more packets."""
    listener, calls, refused = read(*packets(BEGINNINGS[name], 1))
    assert (listener.ended, refused) == (0, None)
    readers = calls["match"] + calls["fullmatch"] + calls["_loose_target"] + calls["feed_data"]
    assert readers <= 100
    assert calls.total() < 25 * len(BEGINNINGS[name])


@pytest.mark.parametrize("name", BEGINNINGS)
def test_what_is_no_body_is_bounded(name: str) -> None:
    listener, _, refused = read(*packets(BEGINNINGS[name] + b"a" * 200))
    assert listener.ended == 0
    assert refused is not None
    assert refused.status == 431


def test_extensions_are_bounded_together_and_short_ones_are_free() -> None:
    free = HEAD + b"1;a=bcdefghijk\r\na\r\n" * 20_000 + LAST
    assert read(*packets(free))[0].ended == 1
    long = HEAD + b"1;" + b"a" * 1000
    for following in (b"\r\na\r\n1;" + b"a" * 1000, b"\r\na\r\n" + b"1\r\na\r\n" * 100 + b"1;" + b"a" * 1000):
        _, _, refused = read(*packets(long + following * 70))
        assert refused is not None
        assert refused.status == 431


def test_line_breaks_between_requests_end_the_connection() -> None:
    for between in (b"\r\n", b"\n", b"\r\n" * 30_000):
        listener, calls, refused = read(GET + between + GET)
        assert listener.ended == 1
        assert refused is not None
        assert calls.total() < 200


def test_requests_in_one_packet_cost_what_they_cost_alone() -> None:
    """Each is taken out of the packet, and what follows it left where it is."""
    for request in (GET, one_chunk(b"abc"), HEAD + b"3\r\nabc\r\n0\r\na: b\r\n\r\n"):
        counts = []
        for number in (10, 20, 30):
            listener, calls, refused = read(request * number)
            assert (listener.ended, refused) == (number, None)
            counts.append(calls.total())
        first, second = (later - earlier for earlier, later in pairwise(counts))
        assert first == second
