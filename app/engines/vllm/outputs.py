"""vLLM's output batches, one per step, straight to the requests that wait for them.

AsyncLLM's own reader makes two objects, an event and two generators of every token of every request; this one
detokenizes with vLLM's detokenizer and makes a `Delta`. benchmarks/README.md has what that brought. Made when vLLM
runs, and read in the event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from app.engines.delta_stream import DeltaStream, joined
from app.engines.logprobs import TextOf, logprobs_of, token_texts
from app.engines.structural_tag import control_tokens
from app.errors import EngineDied, InternalError, JsonModeUnmet
from app.types import Delta, FinishReason, TokenLogprob

log = logging.getLogger(__name__)

LogprobsOf = Callable[[Any], tuple[TokenLogprob, ...]]
"""The log probabilities of one of vLLM's outputs, which come in the order of the request's tokens."""

NEVER: Final = -100.0
"""What vLLM adds at most to a logit."""

REASONS: Final[Mapping[str, FinishReason]] = {"stop": "stop", "length": "length"}


@dataclass(slots=True)
class Pending:
    """A request that vLLM has. `constrained`: by a grammar. `held` waits for the other tokens of an interval."""

    stream: DeltaStream
    detokenizer: Any
    logprobs_of: LogprobsOf | None
    constrained: bool
    cached_tokens: int = 0
    begun: bool = False
    held: list[Delta] = field(default_factory=list)


class VllmOutputs:
    """Knows the running requests by vLLM's internal id. `vllm` is `app.engines.vllm.compat`, `llm` an AsyncLLM whose
    own reader never starts, because that happens in its `add_request`; `tasks` are what it supports.

    `unwritten` is the bias that keeps an answer of a grammar to tokens that are seen. `on_death` is called when there
    will be no more outputs; then every running request has failed with EngineDied.
    """

    def __init__(
        self, vllm: ModuleType, llm: Any, tasks: tuple[str, ...], on_death: Callable[[], object]
    ) -> None:
        self._vllm = vllm
        self._llm = llm
        self._tasks = tasks
        self._on_death = on_death
        self._interval: int = llm.vllm_config.scheduler_config.stream_interval
        self._tokenizer = llm.get_tokenizer()
        self._text_of: TextOf = token_texts(self._tokenizer)
        self.unwritten = dict.fromkeys(_unwritten(llm, self._tokenizer), NEVER)
        self._stop, self._error = vllm.FinishReason.STOP, vllm.FinishReason.ERROR
        self._pending: dict[str, Pending] = {}
        self._reader: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def running(self) -> int:
        """Requests that vLLM has not finished."""
        return len(self._pending)

    def stream(
        self, token_ids: list[int], params: Any, *, request_id: str, cache_salt: str, lora_request: Any
    ) -> DeltaStream:
        """The request is handed to vLLM when its first delta is asked for; raises InternalError then."""
        internal_id = ""

        async def begin(stream: DeltaStream) -> None:
            nonlocal internal_id
            try:
                inputs = self._vllm.tokens_input(token_ids, cache_salt=cache_salt)
                request = self._request(request_id, inputs, params, lora_request)
                internal_id = request.request_id
                await self._ask(stream, request, params)
            except self._vllm.EngineDeadError:
                raise EngineDied from None
            except self._vllm.VLLMError as cause:
                log.error("request %s failed in vLLM: %s", request_id, cause)
                raise InternalError from cause

        async def end() -> None:
            if self._pending.pop(internal_id, None) is not None:
                await self._llm.engine_core.abort_requests_async([internal_id])

        return DeltaStream(begin, end)

    def close(self) -> None:
        """What still runs fails: nobody reads any more."""
        if self._reader is not None:
            self._reader.cancel()
        self._fail_all()

    def _request(self, request_id: str, inputs: Any, params: Any, lora_request: Any) -> Any:
        """vLLM's EngineCoreRequest, with an id that no other has."""
        if self._closed or self._llm.errored:
            raise self._vllm.EngineDeadError
        processor = self._llm.input_processor
        request = processor.process_inputs(
            request_id, inputs, params, supported_tasks=self._tasks, lora_request=lora_request
        )
        processor.assign_request_id(request)
        return request

    async def _ask(self, stream: DeltaStream, request: Any, params: Any) -> None:
        self._pending[request.request_id] = Pending(
            stream,
            self._vllm.IncrementalDetokenizer.from_new_request(self._tokenizer, request),
            None if params.logprobs is None else self._logprobs(request, params.logprobs),
            constrained=params.structured_outputs is not None,
        )
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
            self._reader.add_done_callback(self._ended)
        await self._llm.engine_core.add_request_async(request)

    async def _read(self) -> None:
        core = self._llm.engine_core
        while True:
            batch = await core.get_output_async()
            stopped = [output.request_id for output in batch.outputs if self._ends_here(output)]
            if stopped:
                await core.abort_requests_async(stopped)

    def _ended(self, reader: "asyncio.Task[None]") -> None:
        """Whatever it ended of, nobody would ever be answered again."""
        if reader.cancelled():
            return  # closed
        cause = reader.exception()
        log.error("vLLM gives no more outputs: %d requests fail", len(self._pending), exc_info=cause)
        self._fail_all()
        self._on_death()

    def _fail_all(self) -> None:
        self._closed = True
        for pending in self._pending.values():
            pending.stream.fail(EngineDied())
        self._pending.clear()

    def _ends_here(self, output: Any) -> bool:
        """Takes an output, and says whether vLLM's core must be told to stop that request.

        Every token of every request comes through here. What goes wrong with one must not end the others.
        """
        pending = self._pending.get(output.request_id)
        if pending is None:
            return False  # aborted meanwhile
        try:
            delta = self._delta(pending, output)
        except Exception:  # the supervisor of the request: another vLLM's outputs may lack anything
            log.exception("an output of %s could not be read", output.request_id)
            pending.stream.fail(InternalError())
            del self._pending[output.request_id]
            return True
        if pending.constrained and output.finish_reason == self._error:
            pending.stream.fail(JsonModeUnmet("The model can't go on: the schema allows no next token"))
        else:
            self._hand_over(pending, delta)
        if delta.finish_reason is None:
            return False
        del self._pending[output.request_id]
        return output.finish_reason is None  # it does not look for stop texts

    def _delta(self, pending: Pending, output: Any) -> Delta:
        reason, token_ids, detokenizer = output.finish_reason, output.new_token_ids, pending.detokenizer
        stop_text = detokenizer.update(token_ids, reason == self._stop)
        found_stop = stop_text is not None
        text = detokenizer.get_next_output_text(found_stop or reason is not None, True)
        if output.prefill_stats is not None:
            pending.cached_tokens = output.prefill_stats.num_cached_tokens
        logprobs = () if pending.logprobs_of is None else pending.logprobs_of(output)
        finish_reason: FinishReason | None = "stop" if found_stop else None
        if reason is not None and not found_stop:
            finish_reason = REASONS.get(str(reason), "abort")
        return Delta(text, token_ids, finish_reason, pending.cached_tokens, logprobs, (), stop_text)

    def _hand_over(self, pending: Pending, delta: Delta) -> None:
        """The first token and the last never wait for the interval."""
        if self._interval == 1:
            pending.stream.put(delta)
            return
        pending.held.append(delta)
        tokens = sum(len(held.token_ids) for held in pending.held)
        if tokens >= self._interval or delta.finish_reason is not None or not pending.begun:
            pending.begun = True
            pending.stream.put(joined(pending.held))
            pending.held = []

    def _logprobs(self, request: Any, alternatives: int) -> LogprobsOf:
        processor = self._vllm.LogprobsProcessor.from_new_request(None, request)

        def of(output: Any) -> tuple[TokenLogprob, ...]:
            processor.update_from_output(output)
            count = len(output.new_token_ids)
            choices = processor.logprobs[-count:] if count else ()
            return logprobs_of(output.new_token_ids, choices, alternatives, self._text_of)

        return of


def _unwritten(llm: Any, tokenizer: Any) -> set[int]:
    """Control tokens that end nothing."""
    ends = llm.model_config.try_get_generation_config().get("eos_token_id") or ()
    return control_tokens(tokenizer) - {tokenizer.eos_token_id, *([ends] if isinstance(ends, int) else ends)}
