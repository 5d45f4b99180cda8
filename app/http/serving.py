"""The one way of a request, for every dialect: validate, admit, run, render. Parsing is the dialect's."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard
from app.catalog.hints import hints
from app.errors import NoSuchModel
from app.http.body import BodyLimits, parse_json, read_body
from app.http.dialects.dialect import Asked
from app.http.disconnect import watched
from app.http.exchange import exchange_of
from app.http.sse import EventStream, StreamLimits
from app.inference.pipeline import Pipeline
from app.inference.request import build_request
from app.types import Caller, TextRequest

# Parsing and checking a body of this size takes about a millisecond; a longer one must not hold up the loop.
LARGE_BODY_BYTES = 100_000
NO_ALIASES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A card and the pipeline that serves it."""

    card: ModelCard
    pipeline: Pipeline

    def understand(self, asked: Asked) -> tuple[TextRequest, list[str]]:
        """The body as a typed request, with hints on likely typos. Raises BadInput."""
        branch = self.card.input.check(asked.body)
        body = {**asked.body, **asked.unchecked} if asked.unchecked else asked.body
        text = build_request(self.card, branch, body, asked.lora, asked.extras)
        return text, hints(self.card.input.properties, asked.body)


class Serving:
    """Answers what a dialect asked. `models` is by card name, `aliases` are card names by other names of theirs."""

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        body_limits: BodyLimits,
        stream_limits: StreamLimits,
        aliases: Mapping[str, str] = NO_ALIASES,
    ) -> None:
        self.models = models
        self.aliases = aliases
        self._body_limits = body_limits
        self._stream_limits = stream_limits

    def model(self, name: str) -> ServedModel:
        """Raises NoSuchModel."""
        model = self.models.get(name) or self.models.get(self.aliases.get(name, ""))
        if model is None:
            raise NoSuchModel(name)
        return model

    async def read(self, request: Request) -> bytes:
        """The body's bytes. Raises RequestTooLarge, RequestTimeout or ClientLeft."""
        return await read_body(request, self._body_limits)

    async def answer(self, request: Request, caller: Caller, parse: Callable[[Any], Asked]) -> Response:
        """Read the body, let the dialect `parse` its JSON value, and answer that."""
        body = await read_body(request, self._body_limits)
        return await self.answer_body(request, caller, body, parse)

    async def count(self, request: Request, caller: Caller, parse: Callable[[Any], Asked]) -> int:
        """How many tokens the body's prompt has."""
        body = await read_body(request, self._body_limits)
        asked = parse(parse_json(body))
        model = self.model(asked.model)
        text, _ = model.understand(asked)
        return await model.pipeline.count(text, card=model.card, account_id=caller.account_id)

    async def answer_body(
        self, request: Request, caller: Caller, body: bytes, parse: Callable[[Any], Asked]
    ) -> Response:
        """As `answer`, with the bytes read already."""

        def understand() -> tuple[Asked, ServedModel, TextRequest, list[str]]:
            asked = parse(parse_json(body))
            model = self.model(asked.model)
            return asked, model, *model.understand(asked)

        exchange = exchange_of(request.scope)
        small = len(body) < LARGE_BODY_BYTES
        asked, model, text, said = understand() if small else await asyncio.to_thread(understand)
        exchange.error_event = asked.error_event
        async with watched(request.scope):
            job = await model.pipeline.prepare(
                text, card=model.card, account_id=caller.account_id, request_id=exchange.request_id
            )
            opened = partial(model.pipeline.open, job)
            if text.stream:
                return EventStream(opened, asked.reply.events, self._stream_limits)
            async with opened() as run:
                result = await asked.reply.json(run)
        return asked.reply.response(result, exchange.request_id, said)
