"""app/inference/pipeline.py and admission.py: what a run does to its deltas, and who gets a place."""

from collections.abc import AsyncIterator

import pytest

from app.errors import OutOfCapacity
from app.inference.admission import Admission
from app.inference.pipeline import Run
from app.types import Delta, Prompt, Sampling, TextRequest, TokenLogprob

pytestmark = pytest.mark.anyio

PLAIN = TextRequest("a", None, Sampling(max_tokens=5))


async def texts(prompt: Prompt, *deltas: str) -> list[str]:
    async def engine() -> AsyncIterator[Delta]:
        for text in deltas:
            yield Delta(text, [1])

    run = Run(engine(), Admission(1, 1).admit(1), prompt, PLAIN)
    return [run.seen(delta).text async for delta in run.deltas]


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
        run = Run(engine(), Admission(1, 1).admit(1), prompt, PLAIN)
        deltas = [run.seen(delta) async for delta in run.deltas]
        return [d.text for d in deltas], [token.text for d in deltas for token in d.logprobs]

    assert await seen(Prompt([1], opens_turn=True)) == (["", "Out", " of"], ["Out", " of", " x", " y"])
    assert await seen(Prompt([1])) == (["", " Out", " of"], [" Out", " of", " x", " y"])


async def test_usage_counts_tokens_not_deltas() -> None:
    async def engine() -> AsyncIterator[Delta]:
        yield Delta("a b", [1, 2], cached_tokens=3)
        yield Delta("", [3], "stop")

    run = Run(engine(), Admission(1, 1).admit(5), Prompt([0] * 5), PLAIN)
    async for delta in run.deltas:
        run.seen(delta)
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (5, 3, 8)
    assert run.usage.cached_tokens == 3


def test_a_request_waits_until_it_has_started() -> None:
    admission = Admission(2, 100)
    first, second = admission.admit(10), admission.admit(20)
    with pytest.raises(OutOfCapacity, match="2 requests are waiting"):
        admission.check()
    first.started()
    first.close()
    assert (admission.requests, admission.tokens) == (1, 20)
    admission.admit(1)
    second.close()
    assert (admission.requests, admission.tokens) == (1, 1)


def test_the_bound_on_tokens_lets_one_long_request_in() -> None:
    admission = Admission(10, 100)
    admission.admit(1000)
    with pytest.raises(OutOfCapacity, match="1000 prompt tokens are waiting"):
        admission.admit(1)
