"""`Sampling` as arguments of vLLM's SamplingParams. Knows vLLM's domain, imports nothing of it."""

from typing import Any, Final

from app.types import Sampling

VLLM_MAX_TEMPERATURE: Final = 2.0
VLLM_MIN_TEMPERATURE: Final = 0.01
"""What vLLM raises smaller temperatures above 0 to, with a line in the log for each request."""

HOT_TEMPERATURE_KEY: Final = "temperature"
"""The key in `extra_args` under which `app.engines.vllm.high_temperature` finds a temperature that SamplingParams
refuses.
"""


def to_vllm(sampling: Sampling) -> dict[str, Any]:
    """Keyword arguments of `vllm.SamplingParams`, all but `structured_outputs`.

    A temperature above 2 travels in `extra_args` beside a temperature of 1, and `app.engines.vllm.high_temperature`
    divides by it.
    """
    return {
        "max_tokens": sampling.max_tokens,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "repetition_penalty": sampling.repetition_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "detokenize": True,
        "skip_special_tokens": True,
        "stop": list(sampling.stop),
        "include_stop_str_in_output": False,
        "logprobs": sampling.logprobs,
        "ignore_eos": sampling.ignore_eos,
        "min_tokens": sampling.min_tokens,
        "min_p": sampling.min_p,
        "stop_token_ids": list(sampling.stop_token_ids),
        "bad_words": list(sampling.bad_words),
        **_temperature(sampling.temperature),
    }


def _temperature(temperature: float) -> dict[str, Any]:
    if temperature > VLLM_MAX_TEMPERATURE:
        return {"temperature": 1.0, "extra_args": {HOT_TEMPERATURE_KEY: temperature}}
    return {"temperature": max(temperature, VLLM_MIN_TEMPERATURE) if temperature > 0 else 0.0}
