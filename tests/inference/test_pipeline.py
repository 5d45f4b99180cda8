"""app/inference/pipeline.py and admission.py: what a run does to its deltas, and who gets a place."""

from collections.abc import AsyncIterator

import pytest

from app.errors import OutOfCapacity, RequestAborted
from app.inference.admission import Admission
from app.inference.pipeline import Run
from app.types import Delta, Prompt, Sampling, TextRequest, TokenLogprob

pytestmark = pytest.mark.anyio

PLAIN = TextRequest("a", None, Sampling(max_tokens=5))


async def texts(prompt: Prompt, *deltas: str) -> list[str]:
    async def engine() -> AsyncIterator[Delta]:
        for text in deltas:
            yield Delta(text, [1])

    run = Run(engine(), Admission(1, 1).admit(), prompt, PLAIN)
    return [delta.text async for delta in run]


async def test_the_first_word_of_a_turn_has_no_space() -> None:
    turn = Prompt([1], opens_turn=True)
    assert await texts(turn, " Out", "worker", " is") == ["Out", "worker", " is"]
    assert await texts(turn, "", " Out", " is") == ["", "Out", " is"]
    assert await texts(turn, "  two", " x") == [" two", " x"]
    assert await texts(turn, "Out", " is") == ["Out", " is"]
    assert await texts(Prompt([1]), " and", " on") == [" and", " on"]


async def test_nor_has_its_log_probability() -> None:
    async def engine() -> AsyncIterator[Delta]:
        yield Delta("", [1], logprobs=(TokenLogprob(" Out", -1.0), TokenLogprob(" of", -1.0)))
        yield Delta(" Out", [2], logprobs=(TokenLogprob(" x", -1.0),))
        yield Delta(" of", [3], logprobs=(TokenLogprob(" y", -1.0),))

    async def seen(prompt: Prompt) -> tuple[list[str], list[str]]:
        run = Run(engine(), Admission(1, 1).admit(), prompt, PLAIN)
        deltas = [delta async for delta in run]
        return [d.text for d in deltas], [token.text for d in deltas for token in d.logprobs]

    assert await seen(Prompt([1], opens_turn=True)) == (["", "Out", " of"], ["Out", " of", " x", " y"])
    assert await seen(Prompt([1])) == (["", " Out", " of"], [" Out", " of", " x", " y"])


async def test_usage_counts_tokens_not_deltas() -> None:
    async def engine() -> AsyncIterator[Delta]:
        yield Delta("a b", [1, 2], cached_tokens=3)
        yield Delta("", [3], "stop")

    run = Run(engine(), Admission(1, 1).admit(), Prompt([0] * 5), PLAIN)
    assert (await run.collect()).text == "a b"
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (5, 3, 8)
    assert run.usage.cached_tokens == 3


@pytest.mark.parametrize("first", ["", " a"])
async def test_an_answer_that_the_engine_gave_up_is_an_error_however_it_is_read(first: str) -> None:
    async def engine() -> AsyncIterator[Delta]:
        yield Delta(first, [1])
        yield Delta("", [], "abort")

    with pytest.raises(RequestAborted):
        await Run(engine(), Admission(1, 1).admit(), Prompt([1]), PLAIN).collect()
    run = Run(engine(), Admission(1, 1).admit(), Prompt([1]), PLAIN)
    assert (await anext(run)).text == first
    with pytest.raises(RequestAborted):
        await anext(run)


async def test_a_place_is_given_up_with_the_first_delta() -> None:
    async def engine() -> AsyncIterator[Delta]:
        yield Delta("a", [1])
        yield Delta("b", [1], "stop")

    admission = Admission(1, 100)
    place = admission.admit()
    place.add(10)
    run = Run(engine(), place, Prompt([1]), PLAIN)
    assert (admission.requests, admission.tokens) == (1, 10)
    await anext(run)
    assert (admission.requests, admission.tokens) == (0, 0)


def test_a_place_is_for_one() -> None:
    admission = Admission(2, 100)
    first, second = admission.admit(), admission.admit()
    first.add(10)
    second.add(20)
    with pytest.raises(OutOfCapacity, match="2 requests are waiting"):
        admission.admit()
    first.give_up()
    first.give_up()
    assert (admission.requests, admission.tokens) == (1, 20)
    with admission.admit() as third:
        third.add(1)
        assert (admission.requests, admission.tokens) == (2, 21)
    with pytest.raises(ValueError, match="refused"), admission.admit():
        raise ValueError("refused")
    assert (admission.requests, admission.tokens) == (1, 20)
    with admission.admit() as kept:
        kept.keep()
    assert admission.requests == 2


def test_a_place_moves_to_where_its_request_waits() -> None:
    arrivals, engine = Admission(1, 100), Admission(1, 100)
    place = arrivals.admit()
    place.move(engine)
    place.move(engine)
    assert (arrivals.requests, engine.requests) == (0, 1)
    late = arrivals.admit()
    with pytest.raises(OutOfCapacity, match="1 requests are waiting"):
        late.move(engine)
    late.give_up()
    place.give_up()
    assert (arrivals.requests, engine.requests) == (0, 0)


def test_the_bound_on_tokens_lets_one_long_request_in() -> None:
    admission = Admission(10, 100)
    admission.admit()
    long = admission.admit()
    long.add(1000)
    other = admission.admit()
    with pytest.raises(OutOfCapacity, match="1000 prompt tokens are waiting"):
        other.add(1)
    other.give_up()
    assert (admission.requests, admission.tokens) == (2, 1000)
