"""app/engines/logprobs.py, and every engine's own form of a token that can't come."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm.logprobs import Logprob

from app.engines.llamacpp.chunks import Reading, TokenIds
from app.engines.logprobs import LEAST, logprobs_of, shown
from app.types import Sampling

WRONG = (-math.inf, math.inf, math.nan, -3.4e38, -1e5)


@given(st.one_of(st.none(), st.floats()))
def test_it_is_always_a_number_that_json_has(logprob: float | None) -> None:
    assert math.isfinite(shown(logprob))
    assert shown(logprob) >= LEAST


@pytest.mark.parametrize("logprob", [0.0, -0.5, -9998.5, 1e-7])
def test_what_is_one_already_stays(logprob: float) -> None:
    assert shown(logprob) == logprob


@pytest.mark.parametrize("wrong", WRONG)
def test_vllm(wrong: float) -> None:
    (one,) = logprobs_of([1], [{1: Logprob(wrong, 1), 2: Logprob(wrong, 2)}], 2, str)
    assert (one.logprob, one.top) == (LEAST, (("1", LEAST), ("2", LEAST)))


@pytest.mark.parametrize("wrong", [*WRONG, None])
def test_llamacpp(wrong: float | None) -> None:
    reading = Reading(TokenIds(["a"] * 32_000), Sampling(max_tokens=5, logprobs=1))
    entry = {"id": 300, "token": "a", "logprob": wrong, "top_logprobs": [{"token": "b", "logprob": wrong}]}
    chunk: dict[str, Any] = {
        "choices": [{"text": "a", "finish_reason": None, "logprobs": {"content": [entry]}}],
        "timings": {"predicted_n": 1},
    }
    delta = reading.delta(chunk, last=True)
    assert delta is not None
    (one,) = delta.logprobs
    assert (one.logprob, one.top) == (LEAST, (("b", LEAST),))
