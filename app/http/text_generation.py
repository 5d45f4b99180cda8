"""The one way of a request, for every dialect: parse, validate, admit, run, render."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
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
from app.http.exchange import Exchange, exchange_of
from app.http.sse import EventStream, StreamLimits
from app.inference.admission import Admission, Place
from app.inference.asking import Job
from app.inference.pipeline import Pipeline, Run
from app.inference.request import build_request
from app.types import Caller, TextRequest

# Parsing and checking a body of this size takes about a millisecond; a longer one must not hold up the loop.
LARGE_BODY_BYTES = 100_000
NO_ALIASES: Mapping[str, str] = MappingProxyType({})

Parse = Callable[[Any], ParsedRequest]
"""A dialect's reading of a body's JSON value."""

OpenRun = Callable[[], AbstractAsyncContextManager[Run]]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A card and the pipeline that serves it."""

    card: ModelCard
    pipeline: Pipeline

    def validate(self, parsed: ParsedRequest) -> tuple[TextRequest, list[str]]:
        """The body as a typed request, with hints on likely typos. Raises BadInput."""
        try:
            branch = self.card.input.check(parsed.body)
            body = {**parsed.body, **parsed.unchecked} if parsed.unchecked else parsed.body
            text = build_request(self.card, branch, body, parsed.lora, parsed.extras)
        except BadInput as error:
            raise parsed.in_clients_words(error) from None
        return text, hints(self.card.input.properties, parsed.body)


class TextGeneration:
    """Answers what a dialect asked. `models` is by card name, `aliases` are card names by other names of theirs.

    `arrivals` bounds the requests whose body still has to name one of several engines.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        body_limits: BodyLimits,
        stream_limits: StreamLimits,
        arrivals: Admission,
        aliases: Mapping[str, str] = NO_ALIASES,
    ) -> None:
        self.models = models
        self.aliases = aliases
        self._body_limits = body_limits
        self._stream_limits = stream_limits
        self._arrivals = arrivals
        pipelines = {id(model.pipeline): model.pipeline for model in models.values()}
        self._only = next(iter(pipelines.values())) if len(pipelines) == 1 else None

    def model(self, name: str) -> ServedModel:
        """Raises NoSuchModel."""
        model = self.models.get(name) or self.models.get(self.aliases.get(name, ""))
        if model is None:
            raise NoSuchModel(name)
        return model

    async def answer(
        self, request: Request, caller: Caller, parse: Parse, model: str | None = None
    ) -> Response:
        """Parse, validate, admit, run, render: the one way of every request whose caller `SecuredEndpoint` has
        authenticated.

        Its place is taken first, so that a full server refuses before it reads: where `model` is known that of its
        engine, which else it gets once the body has named the model.
        """
        with self._place(model) as place, self._body_limits.room.of(caller.account_id) as held:
            checked = await self._parse_and_validate(request, parse, held)
            async with cancel_on_disconnect(request.scope):
                job = await self._admit(checked, place, caller, exchange_of(request.scope))
                held.release()  # what is left of the body is within the model's context
                run = partial(checked.model.pipeline.open, job)
                if checked.text.stream:
                    return EventStream(run, checked.reply.events, self._stream_limits, place)
                return await self._render(checked, run, job.request_id)

    async def count(self, request: Request, caller: Caller, parse: Parse) -> int:
        """How many tokens the body's prompt has."""
        with self._place(None), self._body_limits.room.of(caller.account_id) as held:
            checked = await self._parse_and_validate(request, parse, held)
            model, text = checked.model, checked.text
            return await model.pipeline.count(text, card=model.card, account_id=caller.account_id)

    def _place(self, model: str | None) -> Place:
        """Raises NoSuchModel, and OutOfCapacity when too many requests wait."""
        if model is not None:
            return self.model(model).pipeline.admit()
        return self._only.admit() if self._only is not None else self._arrivals.admit()

    async def _parse_and_validate(self, request: Request, parse: Parse, held: Held) -> "_Checked":
        """What is asked, without the body and what was parsed of it. Raises what a body may be refused for."""
        body = await read_body(request, self._body_limits, held)

        def check() -> _Checked:
            parsed = parse(parse_json(body))
            model = self.model(parsed.model)
            return _Checked(parsed.reply, parsed.error_event, model, *model.validate(parsed))

        return check() if len(body) < LARGE_BODY_BYTES else await asyncio.to_thread(check)

    async def _admit(self, checked: "_Checked", place: Place, caller: Caller, exchange: Exchange) -> Job:
        exchange.error_event = checked.error_event
        return await checked.model.pipeline.prepare(
            checked.text,
            place,
            card=checked.model.card,
            account_id=caller.account_id,
            request_id=exchange.request_id,
        )

    async def _render(self, checked: "_Checked", open_run: OpenRun, request_id: str) -> Response:
        async with open_run() as run:
            result = await checked.reply.json(run)
        return checked.reply.response(result, request_id, checked.hints)


@dataclass(frozen=True, slots=True)
class _Checked:
    reply: Reply
    error_event: ErrorEvent
    model: ServedModel
    text: TextRequest
    hints: list[str]
