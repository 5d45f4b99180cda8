"""app/http/framing.py: no request that h11 does not see, no other body, however the bytes were packed.

Where we are stricter than h11 the connection is refused with an error and closed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest

from tests.http.framing_oracle import Listener, Reading, by_h11
from tests.http.framing_shapes import SHAPES

pytestmark = pytest.mark.anyio


def refused(reading: Reading) -> bool:
    return reading.refused is not None and reading.refused >= 400 and reading.closed


def check(ours: Reading, theirs: Reading) -> None:
    """Ours is theirs, or its beginning and then a refusal, or the end of the connection behind an answer."""
    seen = len(ours.requests)
    assert ours.requests[:-1] == theirs.requests[: max(0, seen - 1)]
    if ours.requests:
        assert seen <= len(theirs.requests)
        last, their_last = ours.requests[-1], theirs.requests[seen - 1]
        assert last in (their_last, replace(their_last, body=None))
    if theirs.refused is not None or (
        ours.requests != theirs.requests and not (seen and last.body is not None)
    ):
        assert refused(ours)
    elif ours.requests != theirs.requests:
        assert ours.closed
    assert ours.closed or not theirs.closed


def splits(data: bytes) -> Iterator[list[bytes]]:
    """At every byte, and every byte alone."""
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]


@pytest.mark.soak
@pytest.mark.parametrize("name", SHAPES)
async def test_every_two_cuts_give_the_same_reading(name: str, times: Callable[[int], int]) -> None:
    """Three packets, the application running between them or not."""
    data = SHAPES[name]
    listener = Listener()
    whole = await listener.read([data])
    pairs = list(combinations(range(1, len(data)), 2))
    chosen = Random(name).sample(pairs, min(len(pairs), times(2000)))
    for first, second in chosen:
        pieces = [data[:first], data[first:second], data[second:]]
        for at_once in (False, True):
            assert await listener.read(pieces, at_once) == whole, (pieces, at_once)


def test_the_corpus_is_large() -> None:
    assert len(SHAPES) >= 100


@pytest.mark.parametrize("name", SHAPES)
async def test_a_shape_is_read_as_h11_reads_it_however_it_is_split(name: str) -> None:
    data = SHAPES[name]
    listener = Listener()
    whole = await listener.read([data])
    check(whole, by_h11(data))
    for pieces in splits(data):
        assert await listener.read(pieces) == whole, pieces
