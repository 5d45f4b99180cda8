"""`…/ai/finetunes`: create, list, show and delete adapters. Their assets arrive in `app.http.routes.assets`."""

import asyncio
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.adapters.drafts import Draft
from app.adapters.finetunes import Finetunes
from app.errors import FinetuneNotCreated, FinetuneNotFound, LoraUnsupported
from app.http.body import BodyLimits, parse_json, read_body
from app.http.dialects import finetunes as dialect
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.operator import answered_as
from app.http.serving import ServedModel, Serving
from app.types import Caller


class FinetuneHandlers:
    """Callers see their account's own finetunes, and public ones of others."""

    def __init__(self, finetunes: Finetunes, serving: Serving, body_limits: BodyLimits) -> None:
        self._finetunes = finetunes
        self._serving = serving
        self._body_limits = body_limits
        self._parse = dialect.CreateParser()

    async def create(self, request: Request, caller: Caller) -> Response:
        new = self._parse(parse_json(await read_body(request, self._body_limits)))
        model = self._with_adapters(new.model)
        create = partial(
            self._finetunes.drafts.create,
            caller.account_id,
            new.name,
            model.card.name,
            model.pipeline.weights,
            description=new.description,
            public=new.public,
            replaces=new.replace,
        )
        with answered_as(FinetuneNotCreated):
            draft = await asyncio.to_thread(create)
        return _answer(request, dialect.render_whole(draft))

    async def list(self, request: Request, caller: Caller) -> Response:
        window = dialect.read_pages(request.query_params)
        found = await asyncio.to_thread(self._finetunes.list, caller.account_id)
        shown = found[window.offset : window.offset + window.limit]
        return _answer(request, [dialect.render(finetune) for finetune in shown])

    async def public(self, request: Request, caller: Caller) -> Response:
        order, window = dialect.read_public_query(request.query_params)
        found = await asyncio.to_thread(self._finetunes.store.public, order, window.limit, window.offset)
        return _answer(request, [dialect.render(adapter) for adapter in found])

    async def show(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        found = await asyncio.to_thread(self._finetunes.find, caller.account_id, named)
        return _answer(request, dialect.render_whole(found))

    async def delete(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        with answered_as(lambda _: FinetuneNotFound(named)):  # somebody else deleted it at the same time
            gone = await asyncio.to_thread(self._finetunes.delete, caller.account_id, named)
        if not isinstance(gone, Draft):
            for model in self._serving.models.values():
                await model.pipeline.engine.forget(gone)
        return _answer(request, {"id": gone.id, "name": gone.name})

    def _with_adapters(self, name: str) -> ServedModel:
        model = self._serving.model(name)
        if not model.pipeline.adapters:
            raise LoraUnsupported(model.card.name)
        return model


def _answer(request: Request, result: Any) -> Response:
    return success(result, exchange_of(request.scope).request_id)
