"""A checked request's way to the engine and back: adapter, prompt, limits, admission, deltas, with no going back.

One Pipeline per engine; cards with equal weights share it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from app.catalog.cards import ModelCard
from app.concurrency import deadline
from app.engines.engine import Engine
from app.errors import LoraUnsupported, OutOfCapacity, RequestAborted, RequestTimeout
from app.inference.admission import LEAST_ANSWER_TOKENS, Admission, Place, check_limits, fitted
from app.inference.asking import Asking, EngineReturn, Job
from app.inference.constrained.constraints import Constraints
from app.inference.engine_fields import asks_more, check_engine
from app.inference.prompt import PromptBuilder
from app.types import Delta, FinishReason, Prompt, StoredAdapter, TextRequest, TokenLogprob, ToolCall, Usage

LONG_TEXT_CHARS = 4000  # from here on tokenizing takes longer than handing it to a thread
STARTING_RETRY_AFTER_S = 5


class AdapterResolver(Protocol):
    """Finds the adapter that a request means; raises FinetuneNotFound or LoraIncompatible."""

    async def resolve(self, account_id: str, lora: str, model: str, weights: str) -> StoredAdapter: ...


@dataclass(slots=True)
class Answer:
    """A whole run. `stop_text` is the text that ended it."""

    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_text: str | None = None


class Run:
    """One running generation. Iterate it once, or `collect` it; `usage` counts the deltas that were given.

    `request` is what is answered, for the renderer to look at. `asking` is given where `deltas` are its own as they come.
    """

    def __init__(
        self,
        deltas: AsyncIterator[Delta],
        place: Place,
        prompt: Prompt,
        request: TextRequest,
        asking: Asking | None = None,
    ) -> None:
        self.request = request
        self._deltas = deltas
        self._next: Callable[[], Awaitable[Delta]] = deltas.__anext__
        self._asking = asking
        self._place = place
        self._prompt_tokens = len(prompt.token_ids)
        self._opens_turn = prompt.opens_turn
        self._beginning = True
        self._first_token_seen = False
        self._completion_tokens = 0
        self._cached_tokens = 0

    def __aiter__(self) -> "Run":
        return self

    async def __anext__(self) -> Delta:
        """The next delta as it is to be shown. Raises RequestAborted, and what the engine raises."""
        return self._observe(await self._next())

    async def collect(self) -> Answer:
        """The answer to its end. Raises as `__anext__` does."""
        answer = Answer()
        pieces = []
        async for delta in self:
            pieces.append(delta.text)
            answer.logprobs += delta.logprobs
            answer.tool_calls += delta.tool_calls
            answer.finish_reason = delta.finish_reason or answer.finish_reason
            answer.stop_text = delta.stop_text or answer.stop_text
        answer.text = "".join(pieces)
        return answer

    def _observe(self, delta: Delta) -> Delta:
        """Count it. An answer that the engine gave up is an error in every dialect."""
        if delta.finish_reason == "abort":
            raise RequestAborted
        if delta.cached_tokens:
            self._cached_tokens = delta.cached_tokens
        self._completion_tokens += len(delta.token_ids)
        return self._begin(delta) if self._beginning else delta

    def _begin(self, delta: Delta) -> Delta:
        """Without the space of the tokenizer's mark. Engines may give the first token before its text."""
        self._place.give_up()
        if self._asking is not None:
            self._next = self._asking.rest
        if self._opens_turn:
            if delta.logprobs and not self._first_token_seen:
                self._first_token_seen = True
                first, *others = delta.logprobs
                shown = replace(first, text=first.text.removeprefix(" "))
                delta = delta._replace(logprobs=(shown, *others))
            self._beginning = not delta.text
            return delta._replace(text=delta.text.removeprefix(" "))
        self._beginning = False
        return delta

    @property
    def usage(self) -> Usage:
        return Usage(self._prompt_tokens, self._completion_tokens, self._cached_tokens)


class Pipeline:
    """`load_prompts` reads the tokenizer (in a thread, at start); `weights` names what the engine loads, `adapters`
    says whether it serves any.
    """

    def __init__(
        self,
        engine: Engine,
        load_prompts: Callable[[], PromptBuilder],
        resolver: AdapterResolver,
        *,
        weights: str,
        adapters: bool,
        max_waiting_requests: int,
        max_waiting_tokens: int,
        request_deadline_s: float,
    ) -> None:
        self.engine = engine
        self.weights = weights
        self._load_prompts = load_prompts
        self._prompts: PromptBuilder | None = None
        self._resolver = resolver
        self.adapters = adapters
        self._constraints = Constraints(self._weights_folder if engine.compiles_grammars else None)
        self.admission = Admission(max_waiting_requests, max_waiting_tokens)
        self._deadline_s = request_deadline_s
        self._return = EngineReturn(engine)
        self._draining = False

    async def start(self) -> None:
        self._prompts, _ = await asyncio.gather(asyncio.to_thread(self._load_prompts), self.engine.start())

    async def stop(self, drain_s: float) -> None:
        self._draining = True
        await self.engine.stop(drain_s)
        await self._constraints.stop()  # last: running answers may still have to be checked

    @property
    def ready(self) -> bool:
        return self._prompts is not None and self.engine.health().state == "ready" and not self._draining

    def drain(self) -> None:
        """From now on new requests are refused; running ones go on."""
        self._draining = True

    def admit(self) -> Place:
        """Raises OutOfCapacity when the engine is not ready or too many requests wait. Costs next to nothing."""
        self._require_ready()
        return self.admission.admit()

    async def prepare(
        self, request: TextRequest, place: Place, *, card: ModelCard, account_id: str, request_id: str
    ) -> Job:
        """Build the prompt and find the adapter. Raises leaves of `app.errors` only."""
        builder = self._require_ready()
        place.move(self.admission)
        adapter = await self._adapter(request, card, account_id)
        prompt = await self._prompt(builder, request, card)
        place.add(len(prompt.token_ids))
        request = _fitted(request, prompt, card)
        if asks_more(request):
            self._check_engine(request, builder)
        if self._constraints.wanted(request):
            async with deadline(self._deadline_s, RequestTimeout):
                request = await self._constraints.constrain(request, account_id, opens_turn=prompt.opens_turn)
        return Job(place, request, prompt, adapter, account_id, request_id)

    async def count(self, request: TextRequest, *, card: ModelCard, account_id: str) -> int:
        """Tokens of the prompt, also of one that is too long. Raises leaves of `app.errors`, ContextExceeded where the
        number of its characters alone says that it is.
        """
        builder = self._require_ready()
        await self._adapter(request, card, account_id)
        least = builder.count_at_least(builder.chars(request))
        check_limits(
            max_input_tokens=None,
            max_total_tokens=card.limits.max_total_tokens,
            prompt_tokens=least,
            max_tokens=0,
            at_least=True,
        )
        return len((await asyncio.to_thread(builder.build, request)).token_ids)

    @asynccontextmanager
    async def open(self, job: Job) -> AsyncIterator[Run]:
        """Run the job: leaving the block aborts what is not finished.

        Raises OutOfCapacity when the engine is not ready and RequestTimeout when the deadline passes, in the block too.
        Where the engine dies before the first token the job waits for the next one.
        """
        self._require_ready()
        try:
            async with (
                deadline(self._deadline_s, RequestTimeout),
                Asking(self.engine, self._return, job) as asking,
            ):
                if self._constraints.wanted(job.request):
                    deltas = self._constraints.apply(asking, job.request, job.account_id)
                    yield Run(deltas, job.place, job.prompt, job.request)
                else:  # the engine's own deltas: a plain request pays nothing for what others ask
                    yield Run(asking, job.place, job.prompt, job.request, asking)
        finally:
            job.place.give_up()

    def _check_engine(self, request: TextRequest, builder: PromptBuilder) -> None:
        """Raises BadInput for what the engine does not have."""
        engine, vocab_size = self.engine, builder.vocab_size
        check_engine(request, engine.has, compiles_grammars=engine.compiles_grammars, vocab_size=vocab_size)

    def _weights_folder(self) -> Path:
        assert self._prompts is not None
        return self._prompts.weights

    def _require_ready(self) -> PromptBuilder:
        if self._prompts is None or not self.ready:
            why = "The server is shutting down." if self._draining else "The engine is not ready yet."
            raise OutOfCapacity(why, STARTING_RETRY_AFTER_S)
        return self._prompts

    async def _adapter(self, request: TextRequest, card: ModelCard, account_id: str) -> StoredAdapter | None:
        return await self.adapter(request.lora, card, account_id) if request.lora else None

    async def adapter(self, lora: str, card: ModelCard, account_id: str) -> StoredAdapter:
        """The account's adapter of that name or id. Raises what the resolver raises, and LoraUnsupported."""
        if not self.adapters or not card.supports_lora:
            raise LoraUnsupported(card.name)
        return await self._resolver.resolve(account_id, lora, card.name, self.weights)

    async def _prompt(self, builder: PromptBuilder, request: TextRequest, card: ModelCard) -> Prompt:
        """Raises ContextExceeded. Megabytes are refused by a lower bound of their tokens, without tokenizing them."""
        check = partial(
            check_limits,
            max_input_tokens=card.limits.max_input_tokens,
            max_total_tokens=card.limits.max_total_tokens,
            max_tokens=LEAST_ANSWER_TOKENS if request.may_be_cut else request.sampling.max_tokens,
        )
        chars = builder.chars(request)
        if chars < LONG_TEXT_CHARS:
            prompt = builder.build(request)
        else:
            check(prompt_tokens=builder.count_at_least(chars), at_least=True)
            prompt = await asyncio.to_thread(builder.build, request)
        check(prompt_tokens=len(prompt.token_ids))
        return prompt


def _fitted(request: TextRequest, prompt: Prompt, card: ModelCard) -> TextRequest:
    if not request.may_be_cut:
        return request
    sampling = fitted(request.sampling, len(prompt.token_ids), card.limits.max_total_tokens)
    return request if sampling is request.sampling else replace(request, sampling=sampling)
