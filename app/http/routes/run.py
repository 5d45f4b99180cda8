"""`POST …/ai/run/{model}` and `POST …/ai/run`: authenticate, parse, validate, admit, run, render."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard
from app.catalog.hints import hints
from app.errors import NoSuchModel
from app.http.body import BodyLimits, read_json
from app.http.dialects import native
from app.http.disconnect import watched
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.padding import Padding
from app.http.sse import EventStream, StreamLimits
from app.inference.pipeline import Job, Pipeline
from app.inference.request import build_request
from app.types import Caller


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A card and the pipeline that serves it."""

    card: ModelCard
    pipeline: Pipeline


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
        model = self._model(request.path_params["model"].removesuffix("/"))
        return await self._run(request, caller, model, await read_json(request, self._body_limits))

    async def model_in_body(self, request: Request, caller: Caller) -> Response:
        body = await read_json(request, self._body_limits)
        name, inputs = native.split_model_and_input(body)
        return await self._run(request, caller, self._model(name), inputs)

    def _model(self, name: str) -> ServedModel:
        model = self._models.get(name)
        if model is None:
            raise NoSuchModel(name)
        return model

    async def _run(self, request: Request, caller: Caller, model: ServedModel, body: Any) -> Response:
        request_id = exchange_of(request.scope).request_id
        branch = model.card.input.check(body)
        text = build_request(model.card, branch, body, request.query_params.get("lora"))
        job = await model.pipeline.prepare(
            text, card=model.card, account_id=caller.account_id, request_id=request_id
        )
        if text.stream:
            return self._stream(model.pipeline, job)
        async with watched(request.receive), model.pipeline.open(job) as run:
            result = await native.render_json(run)
        return success(result, request_id, hints(model.card.input.properties, body))

    def _stream(self, pipeline: Pipeline, job: Job) -> Response:
        frames = partial(native.render_events, padding=self._padding)
        return EventStream(partial(pipeline.open, job), frames, self._stream_limits)
