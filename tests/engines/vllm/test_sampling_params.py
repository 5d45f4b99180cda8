"""app.engines.vllm.sampling_params: what vLLM's own SamplingParams makes of it."""

from typing import Any

import pytest
from vllm import SamplingParams

from app.engines.vllm.sampling_params import to_vllm
from app.types import Sampling


def accepted(max_tokens: int = 7, **fields: Any) -> SamplingParams:
    return SamplingParams(**to_vllm(Sampling(max_tokens=max_tokens, **fields)))


@pytest.mark.parametrize("temperature", [0.01, 0.6, 1.0, 2.0])
def test_temperature_up_to_two_is_vllms_own(temperature: float) -> None:
    params = accepted(temperature=temperature)
    assert (params.temperature, params.extra_args) == (temperature, None)


@pytest.mark.parametrize("temperature", [2.0000001, 3.7, 5.0])
def test_hotter_travels_beside_one(temperature: float) -> None:
    params = accepted(temperature=temperature)
    assert (params.temperature, params.extra_args) == (1.0, {"temperature": temperature})


def test_zero_is_greedy() -> None:
    assert accepted(temperature=0.0).temperature == 0.0


@pytest.mark.parametrize("temperature", [1e-320, 1e-6, 0.009])
def test_near_zero_is_raised_without_vllms_line_in_the_log(temperature: float) -> None:
    assert to_vllm(Sampling(max_tokens=1, temperature=temperature))["temperature"] == 0.01


def test_everything_else_passes_through() -> None:
    fields: dict[str, Any] = {
        "max_tokens": 9,
        "top_p": 0.25,
        "top_k": 50,
        "seed": 9_999_999_999,
        "repetition_penalty": 1.5,
        "frequency_penalty": -2.0,
        "presence_penalty": 2.0,
    }
    params = accepted(**fields)
    assert {name: getattr(params, name) for name in fields} == fields
    assert (params.detokenize, params.skip_special_tokens) == (True, True)


def test_no_top_k_and_no_seed() -> None:
    params = accepted()
    assert (params.top_k, params.seed) == (0, None)


def test_stop_and_logprobs() -> None:
    params = SamplingParams(**to_vllm(Sampling(max_tokens=7, stop=("a", "b"), logprobs=3)))
    assert (params.stop, params.include_stop_str_in_output, params.logprobs) == (["a", "b"], False, 3)
    params = SamplingParams(**to_vllm(Sampling(max_tokens=7)))
    assert (params.stop, params.logprobs) == ([], None)


def test_the_end_token() -> None:
    params = SamplingParams(**to_vllm(Sampling(max_tokens=7, ignore_eos=True, min_tokens=5)))
    assert (params.ignore_eos, params.min_tokens) == (True, 5)
    params = SamplingParams(**to_vllm(Sampling(max_tokens=7)))
    assert (params.ignore_eos, params.min_tokens) == (False, 0)
