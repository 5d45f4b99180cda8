"""One request in llama.cpp's hands: runs in a thread of its own, and hands deltas over to the event loop.

Every field of its body is set, so that none of llama.cpp's defaults counts.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from app.engines.delta_stream import DeltaStream
from app.engines.llamacpp.chunks import Reading, TokenIds
from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.errors import ApiError, InternalError, JsonModeUnmet
from app.types import Sampling

SEEDS: Final = 2**32 - 1
"""Seeds are taken modulo this: llama.cpp has 32 bits, and the last number means any seed."""

SAMPLERS: Final = ("penalties", "temperature", "min_p", "top_k", "top_p")
"""The samplers that count, in vLLM's order. typical_p, DRY, XTC and mirostat are llama.cpp's alone."""

log = logging.getLogger(__name__)


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


class Answer:
    """`run` blocks; everything else is for the event loop's thread.

    An answer of at least `min_tokens` tokens takes two requests: one that has so many and no end, one for the rest.
    llama.cpp has no such bound, and its bias against the end token holds for a whole request.
    """

    def __init__(
        self, prompt: list[int], sampling: Sampling, ids: TokenIds, *, adapter: int | None, window: int
    ) -> None:
        self.begun = False
        self.aborted = False
        self._prompt = prompt
        self._sampling = sampling
        self._adapter = adapter
        self._window = window
        self._reading = Reading(ids, sampling)
        self._loop = asyncio.get_running_loop()
        self._error: ApiError | None = None

    def run(self, server: Any, stream: DeltaStream) -> None:
        """`server` is an xllamacpp.Server. Ends when the answer does, or soon after it was aborted."""
        try:
            for sampling, last in _requests(self._sampling):
                self._ask(server, stream, sampling, last=last)
                if self.aborted or self._reading.ended or self._error is not None:
                    break
        except ApiError as error:
            self._error = error
        if not self.aborted and not self._reading.ended:
            self._hand_over(stream.fail, self._error or InternalError())

    def _ask(self, server: Any, stream: DeltaStream, sampling: Sampling, *, last: bool) -> None:
        answered = self._reading.token_ids
        body = body_of(self._prompt, answered, sampling, adapter=self._adapter, window=self._window)
        self._reading.begin_request()

        def take(chunk: bytes) -> bool:
            """Says whether llama.cpp shall stop; it does, too, when this raises."""
            if self.aborted:
                return True
            content = orjson.loads(chunk)
            if "error" in content:
                self._error = _error_of(content["error"])
                return True
            delta = self._reading.delta(content, last=last)
            if delta is not None:
                self._hand_over(stream.put, delta)
            return self._reading.ended

        server.handle_completions(orjson.dumps(body), take)

    def _hand_over(self, to: Callable[..., None], what: object) -> None:
        self._loop.call_soon_threadsafe(to, what)


def _requests(sampling: Sampling) -> Iterator[tuple[Sampling, bool]]:
    """What is asked for one after the other, and whether it is the last. An answer in a grammar ends with that."""
    least = sampling.min_tokens
    if not least or sampling.ignore_eos or sampling.grammar is not None:
        yield sampling, True
        return
    least = min(least, sampling.max_tokens)
    rest = sampling.max_tokens - least
    yield replace(sampling, max_tokens=least, ignore_eos=True), not rest
    if rest:
        seed = None if sampling.seed is None else sampling.seed + 1  # not the same draws again
        yield replace(sampling, max_tokens=rest, seed=seed), True


def _error_of(error: dict[str, Any]) -> ApiError:
    message = str(error.get("message", ""))
    if "grammar" in message:
        return JsonModeUnmet("No grammar can be made of the schema: llama.cpp can't read it, simplify it")
    log.error("llama.cpp refused a request: %s", message[:500])
    return InternalError()
