"""`POST …/ai/run/{model}` and `POST …/ai/run`: authenticate, parse, validate, admit, run, render."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard
from app.catalog.hints import hints
from app.errors import NoSuchModel
from app.http.body import BodyLimits, parse_json, read_body
from app.http.dialects import native
from app.http.disconnect import watched
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.padding import Padding
from app.http.sse import EventStream, StreamLimits
from app.inference.pipeline import Job, Pipeline
from app.inference.request import build_request
from app.types import Caller, TextRequest

# Parsing and checking a body of this size takes about a millisecond; a longer one must not hold up the loop.
LARGE_BODY_BYTES = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A card and the pipeline that serves it."""

    card: ModelCard
    pipeline: Pipeline

    def understand(self, body: Any, query_lora: str | None) -> tuple[TextRequest, list[str]]:
        """The body as a typed request, with hints on likely typos. Raises BadInput."""
        branch = self.card.input.check(body)
        text = build_request(self.card, branch, body, query_lora)
        return text, hints(self.card.input.properties, body)


class RunHandlers:
    """The two forms of the run route. `models` is by card name."""

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        body_limits: BodyLimits,
        stream_limits: StreamLimits,
        padding: Padding,
    ) -> None:
        self._models = models
        self._body_limits = body_limits
        self._stream_limits = stream_limits
        self._padding = padding

    async def model_in_path(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["model"].removesuffix("/")
        if not name:
            return await self.model_in_body(request, caller)
        model = self._model(name)
        model.pipeline.check_room()  # a full server refuses before it reads
        body = await read_body(request, self._body_limits)
        return await self._run(request, caller, model, body, lambda: parse_json(body))

    async def model_in_body(self, request: Request, caller: Caller) -> Response:
        body = await read_body(request, self._body_limits)
        name, inputs = native.split_model_and_input(await _aside(body, lambda: parse_json(body)))
        return await self._run(request, caller, self._model(name), body, lambda: inputs)

    def _model(self, name: str) -> ServedModel:
        model = self._models.get(name)
        if model is None:
            raise NoSuchModel(name)
        return model

    async def _run(
        self, request: Request, caller: Caller, model: ServedModel, body: bytes, inputs: Callable[[], Any]
    ) -> Response:
        request_id = exchange_of(request.scope).request_id
        query_lora = request.query_params.get("lora")
        text, said = await _aside(body, lambda: model.understand(inputs(), query_lora))
        job = await model.pipeline.prepare(
            text, card=model.card, account_id=caller.account_id, request_id=request_id
        )
        if text.stream:
            return self._stream(model.pipeline, job)
        async with watched(request.scope), model.pipeline.open(job) as run:
            result = await native.render_json(run)
        return success(result, request_id, said)

    def _stream(self, pipeline: Pipeline, job: Job) -> Response:
        frames = partial(native.render_events, padding=self._padding)
        return EventStream(partial(pipeline.open, job), frames, self._stream_limits)


async def _aside(body: bytes, work: Callable[[], T]) -> T:
    """`work` in a thread where the body is large."""
    return work() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(work)
