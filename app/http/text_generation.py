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
from app.errors import BadInput, NoSuchModel
from app.http.body import BodyLimits, parse_json, read_body
from app.http.body_room import Held
from app.http.connection import cancel_on_disconnect
from app.http.dialect import ParsedRequest, Reply
from app.http.envelope import ErrorEvent
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

    def understand(self, asked: ParsedRequest) -> tuple[TextRequest, list[str]]:
        """The body as a typed request, with hints on likely typos. Raises BadInput."""
        try:
            branch = self.card.input.check(asked.body)
            body = {**asked.body, **asked.unchecked} if asked.unchecked else asked.body
            text = build_request(self.card, branch, body, asked.lora, asked.extras)
        except BadInput as error:
            raise asked.in_clients_words(error) from None
        return text, hints(self.card.input.properties, asked.body)


class TextGeneration:
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

    async def answer(
        self, request: Request, caller: Caller, parse: Callable[[Any], ParsedRequest]
    ) -> Response:
        """Read the body, let the dialect `parse` its JSON value, and answer that."""
        with self._body_limits.room.of(caller.account_id) as held:
            understood = await self._understand(request, parse, held)
            return await self._run(request, caller, understood, held)

    async def count(self, request: Request, caller: Caller, parse: Callable[[Any], ParsedRequest]) -> int:
        """How many tokens the body's prompt has."""
        with self._body_limits.room.of(caller.account_id) as held:
            understood = await self._understand(request, parse, held)
            model, text = understood.model, understood.text
            return await model.pipeline.count(text, card=model.card, account_id=caller.account_id)

    async def _understand(
        self, request: Request, parse: Callable[[Any], ParsedRequest], held: Held
    ) -> "_Understood":
        """What is asked, without the body and what was parsed of it. Raises what a body may be refused for."""
        body = await read_body(request, self._body_limits, held)

        def understand() -> _Understood:
            asked = parse(parse_json(body))
            model = self.model(asked.model)
            return _Understood(asked.reply, asked.error_event, model, *model.understand(asked))

        return understand() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(understand)

    async def _run(self, request: Request, caller: Caller, understood: "_Understood", held: Held) -> Response:
        exchange = exchange_of(request.scope)
        exchange.error_event = understood.error_event
        reply, model, text = understood.reply, understood.model, understood.text
        async with cancel_on_disconnect(request.scope):
            job = await model.pipeline.prepare(
                text, card=model.card, account_id=caller.account_id, request_id=exchange.request_id
            )
            held.release()  # what is left of the body is within the model's context
            opened = partial(model.pipeline.open, job)
            if text.stream:
                return EventStream(opened, reply.events, self._stream_limits)
            async with opened() as run:
                result = await reply.json(run)
        return reply.response(result, exchange.request_id, understood.hints)


@dataclass(frozen=True, slots=True)
class _Understood:
    reply: Reply
    error_event: ErrorEvent
    model: ServedModel
    text: TextRequest
    hints: list[str]
