"""vLLM's output batches, one per step, straight to the requests that wait for them.

AsyncLLM's own reader makes two objects, an event and two generators of every token of every request; this one
detokenizes with vLLM's detokenizer and makes a `Delta`. docs/performance.md has what that brought. Made when vLLM
runs, and read in the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from app.engines.token_stream import TokenStream, joined
from app.engines.vllm_logprobs import TextOf, logprobs_of, token_texts
from app.errors import InternalError, JsonModeUnmet
from app.types import Delta, FinishReason, TokenLogprob

log = logging.getLogger(__name__)

LogprobsOf = Callable[[Any], tuple[TokenLogprob, ...]]
"""The log probabilities of one of vLLM's outputs, which come in the order of the request's tokens."""

REASONS: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}


@dataclass(slots=True)
class Asked:
    """A request that vLLM has. `constrained`: by a grammar. `held` waits for the other tokens of an interval."""

    stream: TokenStream
    detokenizer: Any
    logprobs_of: LogprobsOf | None
    constrained: bool
    cached_tokens: int = 0
    begun: bool = False
    held: Delta | None = None


class VllmOutputs:
    """Knows the running requests by vLLM's internal id. `vllm` is `app.engines.vllm_imports`, `llm` an AsyncLLM whose
    own reader never starts, because that happens in its `add_request`.

    `on_death` is called when vLLM's processes are gone; then every running request has failed with InternalError.
    """

    def __init__(self, vllm: ModuleType, llm: Any, on_death: Callable[[], object]) -> None:
        self._vllm = vllm
        self._llm = llm
        self._on_death = on_death
        self._interval: int = llm.vllm_config.scheduler_config.stream_interval
        self._tokenizer = llm.get_tokenizer()
        self._text_of: TextOf = token_texts(self._tokenizer)
        self._stop = vllm.FinishReason.STOP
        self._asked: dict[str, Asked] = {}
        self._reader: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """Requests that vLLM has not finished."""
        return len(self._asked)

    def stream(
        self, token_ids: list[int], params: Any, *, request_id: str, cache_salt: str, lora_request: Any
    ) -> TokenStream:
        """The request is handed to vLLM when its first delta is asked for; raises InternalError then."""
        internal_id = ""

        async def begin() -> None:
            nonlocal internal_id
            try:
                inputs = self._vllm.tokens_input(token_ids, cache_salt=cache_salt)
                request = await self._request(request_id, inputs, params, lora_request)
                internal_id = request.request_id
                await self._ask(made, request, params)
            except self._vllm.VLLMError as cause:
                log.error("request %s failed in vLLM: %s", request_id, cause)
                raise InternalError from cause

        async def end() -> None:
            if self._asked.pop(internal_id, None) is not None:
                await self._llm.engine_core.abort_requests_async([internal_id])

        made = TokenStream(begin, end)
        return made

    def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    async def _request(self, request_id: str, inputs: Any, params: Any, lora_request: Any) -> Any:
        """vLLM's EngineCoreRequest, with an id that no other has."""
        if self._llm.errored:
            raise self._vllm.EngineDeadError
        processor = self._llm.input_processor
        request = processor.process_inputs(
            request_id,
            inputs,
            params,
            supported_tasks=await self._llm.get_supported_tasks(),
            lora_request=lora_request,
        )
        processor.assign_request_id(request)
        return request

    async def _ask(self, stream: TokenStream, request: Any, params: Any) -> None:
        self._asked[request.request_id] = Asked(
            stream,
            self._vllm.IncrementalDetokenizer.from_new_request(self._tokenizer, request),
            None if params.logprobs is None else self._logprobs(request, params.logprobs),
            constrained=params.structured_outputs is not None,
        )
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        await self._llm.engine_core.add_request_async(request)

    async def _read(self) -> None:
        core = self._llm.engine_core
        try:
            while True:
                batch = await core.get_output_async()
                stopped = [output.request_id for output in batch.outputs if self._take(output)]
                if stopped:
                    await core.abort_requests_async(stopped)
        except Exception:  # whatever it is, nobody would ever be answered again
            log.exception("vLLM gives no more outputs: %d requests fail", len(self._asked))
            for asked in self._asked.values():
                asked.stream.fail(InternalError())
            self._asked.clear()
            self._on_death()

    def _take(self, output: Any) -> bool:
        """Whether vLLM's core must still be told to stop: it does not look for stop texts.

        Every token of every request comes through here.
        """
        asked = self._asked.get(output.request_id)
        if asked is None:
            return False  # aborted meanwhile
        reason, token_ids, detokenizer = output.finish_reason, output.new_token_ids, asked.detokenizer
        found_stop = detokenizer.update(token_ids, reason == self._stop) is not None
        text = detokenizer.get_next_output_text(found_stop or reason is not None, True)
        if output.prefill_stats is not None:
            asked.cached_tokens = output.prefill_stats.num_cached_tokens
        logprobs = () if asked.logprobs_of is None else asked.logprobs_of(output)
        finish_reason = (
            "stop" if found_stop else None if reason is None else REASONS.get(str(reason), "abort")
        )
        self._hand_over(asked, Delta(text, token_ids, finish_reason, asked.cached_tokens, logprobs))
        if finish_reason is None:
            return False
        del self._asked[output.request_id]
        return found_stop and reason is None

    def _hand_over(self, asked: Asked, delta: Delta) -> None:
        """The first token and the last never wait for the interval."""
        if asked.constrained and delta.finish_reason == "abort":
            asked.stream.fail(JsonModeUnmet("The model can't go on: the schema allows no next token"))
            return
        if self._interval > 1:
            delta = delta if asked.held is None else joined(asked.held, delta)
            whole = len(delta.token_ids) >= self._interval or delta.finish_reason is not None
            asked.held = None if whole or not asked.begun else delta
            asked.begun = True
            if asked.held is not None:
                return
        asked.stream.put(delta)

    def _logprobs(self, request: Any, alternatives: int) -> LogprobsOf:
        processor = self._vllm.LogprobsProcessor.from_new_request(None, request)

        def of(output: Any) -> tuple[TokenLogprob, ...]:
            processor.update_from_output(output)
            count = len(output.new_token_ids)
            choices = processor.logprobs[-count:] if count else ()
            return logprobs_of(output.new_token_ids, choices, alternatives, self._text_of)

        return of
