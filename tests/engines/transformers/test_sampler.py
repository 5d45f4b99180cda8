"""app.engines.transformers.sampler: every rule by its definition, draws by their exact probabilities."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.engines.transformers.sampler import Sampler
from app.types import Sampling

END = 2
LOGITS = [1.5, -0.5, 3.0, 0.25, 2.0, -2.0, 0.0, 1.0]
GREEDY = Sampling(max_tokens=9, temperature=0.0)
DRAWS = 3_000


def sampler(prompt: tuple[int, ...] = (), **values: Any) -> Sampler:
    return Sampler(replace(GREEDY, **values), prompt, {END})


def logits(values: list[float] | None = None) -> torch.Tensor:
    return torch.tensor(values or LOGITS)


def drawn(sampler: Sampler, count: int) -> list[int]:
    return [sampler.draw(logits()).token_id for _ in range(count)]


def expected(**values: Any) -> list[float]:
    """Probabilities by the definitions, in plain Python: temperature, then top_k, then top_p of what is left."""
    temperature = values.get("temperature", 1.0)
    weights = [math.exp(value / temperature) for value in LOGITS]
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    order = order[: values.get("top_k") or len(order)]
    total, kept, share = sum(weights[token] for token in order), list[int](), 0.0
    for token in order:
        if share < values.get("top_p", 1.0) or not kept:
            kept.append(token)
        share += weights[token] / total
    total = sum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(weights))]


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 1.0},
        {"temperature": 0.6},
        {"temperature": 5.0},
        {"temperature": 0.8, "top_k": 3},
        {"temperature": 1.0, "top_p": 0.8},
        {"temperature": 1.5, "top_k": 5, "top_p": 0.7},
        {"temperature": 1.0, "top_p": 0.01},
    ],
    ids=str,
)
def test_tokens_come_as_often_as_they_should(values: dict[str, Any]) -> None:
    """No count is further than five standard deviations from the expected one; the seed is fixed, so is the outcome."""
    counts = Counter(drawn(sampler(seed=11, **values), DRAWS))
    for token, probability in enumerate(expected(**values)):
        allowed = 5 * math.sqrt(DRAWS * probability * (1 - probability))
        assert abs(counts[token] - DRAWS * probability) <= allowed, (token, probability, counts[token])


def test_a_nucleus_larger_than_what_is_looked_at_first() -> None:
    """Of 1000 equal tokens, nine tenths."""
    one = sampler(temperature=1.0, top_p=0.9, seed=5)
    ids = [one.draw(torch.zeros(1000)).token_id for _ in range(3000)]
    assert 800 < len(set(ids)) <= 901  # 900, one more where the sum is rounded


def test_a_seed_repeats_and_another_does_not() -> None:
    hot: dict[str, Any] = {"temperature": 2.0}
    assert drawn(sampler(seed=1, **hot), 50) == drawn(sampler(seed=1, **hot), 50)
    assert drawn(sampler(seed=1, **hot), 50) != drawn(sampler(seed=2, **hot), 50)
    assert drawn(sampler(**hot), 50) != drawn(sampler(**hot), 50)


@pytest.mark.parametrize("seed", [-(2**63), 0, 2**63 - 1])
def test_every_seed_of_the_domain(seed: int) -> None:
    assert len(drawn(sampler(seed=seed, temperature=1.0), 3)) == 3


def test_repetition_counts_prompt_and_answer_once() -> None:
    one = sampler(prompt=(END, END, 5), repetition_penalty=2.0)
    values = logits()
    assert one.draw(values).token_id == 4  # 3.0 / 2 is less than 2.0
    assert values.tolist() == [1.5, -0.5, 1.5, 0.25, 2.0, -4.0, 0.0, 1.0]
    values = logits()
    one.draw(values)
    assert values[4] == 1.0


def test_frequency_counts_each_time_and_presence_once() -> None:
    one = sampler(prompt=(0, 0), frequency_penalty=0.5, presence_penalty=0.25)
    assert drawn(one, 2) == [END, END]  # 3.0, then 2.25
    values = logits()
    assert one.draw(values).token_id == 4
    assert values[END] == 3.0 - 2 * 0.5 - 0.25
    assert values[0] == LOGITS[0]


def test_no_end_before_min_tokens() -> None:
    assert drawn(sampler(min_tokens=2), 3) == [4, 4, END]


def test_an_ignored_end_is_a_token_like_others() -> None:
    assert drawn(sampler(min_tokens=2, ignore_eos=True), 1) == [END]


def test_logprobs_are_of_the_model_itself() -> None:
    """Before temperature and penalties, whatever was drawn."""
    one = sampler(temperature=5.0, repetition_penalty=2.0, logprobs=3, top_k=1, prompt=(END,), min_tokens=1)
    plain = logits().log_softmax(-1)
    found = one.draw(logits())
    assert found.token_id == 4
    assert found.logprob == float(plain[4])
    assert found.top == tuple((token, float(plain[token])) for token in (END, 4, 0))


def test_no_alternatives() -> None:
    assert sampler(logprobs=0).draw(logits()).top == ()
    assert sampler(logprobs=0).draw(logits()).logprob == float(logits().log_softmax(-1)[END])


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=50), st.floats(0, 5), st.integers(0, 2**62)
)
def test_what_is_drawn_is_allowed(values: list[float], temperature: float, seed: int) -> None:
    """Whatever the logits, temperatures near 0 included."""
    forbidden = torch.tensor(values)
    forbidden[END] = -torch.inf
    one = Sampler(Sampling(max_tokens=1, temperature=temperature, seed=seed, top_p=0.9), (), {END})
    assert one.draw(forbidden).token_id != END
