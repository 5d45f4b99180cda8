"""`…/ai/finetunes`: create, list, show and delete adapters. Their assets arrive in `app.http.routes.assets`."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app.adapters.finetunes import Finetunes
from app.adapters.lifecycle import Draft
from app.errors import FinetuneNotCreated, FinetuneNotFound, LoraUnsupported
from app.http.body import BodyLimits, parse_json, read_body
from app.http.envelope import success
from app.http.exchange import exchange_of
from app.http.operator import raised_as
from app.http.routes import finetune_objects as dialect
from app.http.text_generation import ServedModel, TextGeneration
from app.types import Caller

DATABASE_THREADS = 4

T = TypeVar("T")


class FinetuneHandlers:
    """Callers see their account's own finetunes, and public ones of others."""

    def __init__(self, finetunes: Finetunes, serving: TextGeneration, body_limits: BodyLimits) -> None:
        self._finetunes = finetunes
        self._serving = serving
        self._body_limits = body_limits
        self._parse = dialect.CreateParser()
        # A change may wait for the database's lock: neither looks nor the rest of the server may wait with it.
        self._changes = ThreadPoolExecutor(DATABASE_THREADS, "finetune-change")
        self._looks = ThreadPoolExecutor(DATABASE_THREADS, "finetune-look")

    async def create(self, request: Request, caller: Caller) -> Response:
        with self._body_limits.room.of(caller.account_id) as held:
            body = await read_body(request, self._body_limits, held)
            new = await asyncio.to_thread(lambda: self._parse(parse_json(body)))
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
        with raised_as(FinetuneNotCreated):
            draft = await _in(self._changes, create)
        return _answer(request, dialect.render_whole(draft))

    async def list(self, request: Request, caller: Caller) -> Response:
        window = dialect.read_pages(request.query_params)
        found = await _in(self._looks, self._finetunes.list, caller.account_id)
        shown = found[window.offset : window.offset + window.limit]
        return _answer(request, [dialect.render(finetune) for finetune in shown])

    async def public(self, request: Request, caller: Caller) -> Response:
        order, window = dialect.read_public_query(request.query_params)
        found = await _in(self._looks, self._finetunes.store.public, order, window.limit, window.offset)
        return _answer(request, [dialect.render(adapter) for adapter in found])

    async def show(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        found = await _in(self._looks, self._finetunes.find, caller.account_id, named)
        return _answer(request, dialect.render_whole(found))

    async def delete(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        with raised_as(lambda _: FinetuneNotFound(named)):  # somebody else deleted it at the same time
            gone = await _in(self._changes, self._finetunes.delete, caller.account_id, named)
        if not isinstance(gone, Draft):
            for model in self._serving.models.values():
                await model.pipeline.engine.forget(gone)
        return _answer(request, {"id": gone.id, "name": gone.name})

    def _with_adapters(self, name: str) -> ServedModel:
        model = self._serving.model(name)
        if not model.pipeline.adapters:
            raise LoraUnsupported(model.card.name)
        return model


async def _in(threads: Executor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _answer(request: Request, result: Any) -> Response:
    return success(result, exchange_of(request.scope).request_id)
