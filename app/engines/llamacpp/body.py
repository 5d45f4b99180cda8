"""A request as llama.cpp's server takes it: every field is set, so that none of its defaults counts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.types import Sampling

SEEDS: Final = 2**32 - 1
"""Seeds are taken modulo this: llama.cpp has 32 bits, and the last number means any seed."""

SAMPLERS: Final = ("penalties", "temperature", "min_p", "top_k", "top_p")
"""The samplers that count, in vLLM's order. typical_p, DRY, XTC and mirostat are llama.cpp's alone."""


def body_of(
    prompt: Sequence[int], answered: Sequence[int], sampling: Sampling, *, adapter: int | None, window: int
) -> dict[str, Any]:
    """`answered` are tokens of the answer that are there already. `adapter` is the place of the one that answers;
    penalties look back `window` tokens, which must be all.

    Raises JsonModeUnmet for a grammar that can't be written. Stop texts and `min_tokens` are not in it.
    """
    return {
        "prompt": [*prompt, *answered],
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "return_progress": True,  # so that there is something to say stop to while a long prompt is read
        "cache_prompt": False,
        "lora": [] if adapter is None else [{"id": adapter, "scale": 1.0}],
        "n_predict": sampling.max_tokens,
        "seed": SEEDS if sampling.seed is None else sampling.seed % SEEDS,
        "n_probs": sampling.logprobs if sampling.logprobs else int(sampling.logprobs is not None),
        "ignore_eos": sampling.ignore_eos,
        "grammar": "" if sampling.grammar is None else gbnf_of(sampling.grammar),
        "logit_bias": _biases(prompt, sampling),
        **_samplers(sampling, window),
    }


def _samplers(sampling: Sampling, window: int) -> dict[str, Any]:
    return {
        "samplers": list(SAMPLERS),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
        "xtc_probability": 0.0,
        "dry_multiplier": 0.0,
        "dynatemp_range": 0.0,
        "mirostat": 0,
        "min_keep": 0,
        "repeat_last_n": window,
        "repeat_penalty": sampling.repetition_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }


def _biases(prompt: Sequence[int], sampling: Sampling) -> list[list[float]]:
    """Takes back what llama.cpp's penalties count of the prompt: vLLM counts the answer's tokens alone.

    Exact for the frequency. The presence penalty then never falls on a token of the prompt, where vLLM's does once the
    answer has it too; and beside a repetition penalty, which comes in between, both are taken back in part.
    """
    frequency, presence = sampling.frequency_penalty, sampling.presence_penalty
    if not frequency and not presence:
        return []
    return [[token, times * frequency + presence] for token, times in Counter(prompt).items()]
