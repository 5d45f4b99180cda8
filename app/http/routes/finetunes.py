"""`…/ai/finetunes`: create, list, show and delete adapters. Their assets arrive in `app.http.routes.assets`."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from app.adapters.finetune import Draft, Finetune, reason_of, state_of
from app.adapters.lifecycle import Finetunes
from app.adapters.rows import PUBLIC_ORDERS
from app.catalog import error_texts
from app.catalog.explain import Node, first_errors
from app.catalog.refusals import plain_refusal
from app.errors import FinetuneNotCreated, FinetuneNotFound, LoraUnsupported
from app.http.body import BodyLimits, parse_json, read_body
from app.http.envelope import raised_as, success
from app.http.exchange import exchange_of
from app.http.request_values import whole
from app.http.text_generation import ServedModel, TextGeneration
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.types import Caller

ASSETS = (CONFIG_FILE, WEIGHTS_FILE)
BUCKET = "adapters"
PAGE_MAX = 1000
CREATE_SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "type": "object",
        "required": ["model", "name"],
        "properties": {
            "model": {"type": "string"},
            "name": {"type": "string"},
            "description": {"type": ["string", "null"]},
            "public": {"type": ["boolean", "null"]},
            "replace": {"type": ["boolean", "null"]},
        },
    }
)

DATABASE_THREADS = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewFinetune:
    """The body of a create, typed. `replace` is ours: the new one takes the place of a ready one of its name."""

    model: str
    name: str
    description: str
    public: bool
    replace: bool


class CreateParser:
    """Holds the schema compiled."""

    def __init__(self) -> None:
        self._schema = Node.compiled(dict(CREATE_SCHEMA))

    def __call__(self, body: Any) -> NewFinetune:
        """Raises `BadInput` in the validator's words. Other properties are ignored, as everywhere."""
        if not self._schema.accepts(body):
            raise plain_refusal(", ".join(first_errors(self._schema, body)))
        return NewFinetune(
            model=body["model"],
            name=body["name"],
            description=body.get("description") or "",
            public=bool(body.get("public")),
            replace=bool(body.get("replace")),
        )


def checked_asset_name(name: str) -> str:
    """Raises `BadInput` for a name that is none of the two."""
    if name not in ASSETS:
        raise plain_refusal(error_texts.not_in_enum(("file_name",), ASSETS, name))
    return name


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list: at most `limit` after the first `offset`."""

    limit: int
    offset: int


def read_pages(query: Mapping[str, str]) -> Window:
    """`page` (from 1) and `per_page`; without `per_page` the first page is everything. Raises `BadInput`."""
    per_page = whole(query, "per_page", PAGE_MAX, 1)
    return Window(per_page, (whole(query, "page", 1, 1) - 1) * per_page)


def read_public_query(query: Mapping[str, str]) -> tuple[str, Window]:
    """The column to order by, and `limit` and `offset`. Raises `BadInput`."""
    order = query.get("orderBy", PUBLIC_ORDERS[0])
    if order not in PUBLIC_ORDERS:
        raise plain_refusal(error_texts.not_in_enum(("orderBy",), PUBLIC_ORDERS, order))
    return order, Window(whole(query, "limit", PAGE_MAX, 0), whole(query, "offset", 0, 0))


def render(finetune: Finetune) -> dict[str, Any]:
    """One of a list."""
    return {
        "id": finetune.id,
        "model": finetune.model,
        "name": finetune.name,
        "description": finetune.description,
        "public": finetune.public,
        "created_at": finetune.created_at,
        "modified_at": finetune.modified_at,
        "state": state_of(finetune),
        "reason": reason_of(finetune),
        "rank": None if isinstance(finetune, Draft) else finetune.rank,
    }


def render_whole(finetune: Finetune) -> dict[str, Any]:
    """One that was asked for by id or name."""
    if isinstance(finetune, Draft):
        assets = [name for name in ASSETS if name not in finetune.missing]
        return {**render(finetune), "findings": list(finetune.findings), "assets": assets}
    return {**render(finetune), "findings": [], "assets": list(ASSETS)}


def render_asset(draft: Draft, file_name: str, state: str) -> dict[str, Any]:
    """The answer to an upload. The asset's id is new each time: nothing else asks for it."""
    return {
        "id": str(uuid4()),
        "finetune_id": draft.id,
        "file_name": file_name,
        "bucket_name": BUCKET,
        "created_at": draft.modified_at,
        "modified_at": draft.modified_at,
        "state": state,
    }


class FinetuneHandlers:
    """Callers see their account's own finetunes, and public ones of others."""

    def __init__(self, finetunes: Finetunes, serving: TextGeneration, body_limits: BodyLimits) -> None:
        self._finetunes = finetunes
        self._serving = serving
        self._body_limits = body_limits
        self._parse = CreateParser()
        # A change may wait for the database's lock: neither looks nor the rest of the server may wait with it.
        self._changes = ThreadPoolExecutor(DATABASE_THREADS, "finetune-change")
        self._looks = ThreadPoolExecutor(DATABASE_THREADS, "finetune-look")

    async def create(self, request: Request, caller: Caller) -> Response:
        with self._body_limits.room.of(caller.account_id) as held:
            body = await read_body(request, self._body_limits, held)
            new = await asyncio.to_thread(lambda: self._parse(parse_json(body)))
        model = self._with_adapters(new.model)
        create = partial(
            self._finetunes.create,
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
        return _answer(request, render_whole(draft))

    async def list(self, request: Request, caller: Caller) -> Response:
        window = read_pages(request.query_params)
        found = await _in(self._looks, self._finetunes.list, caller.account_id)
        shown = found[window.offset : window.offset + window.limit]
        return _answer(request, [render(finetune) for finetune in shown])

    async def public(self, request: Request, caller: Caller) -> Response:
        order, window = read_public_query(request.query_params)
        found = await _in(self._looks, self._finetunes.store.public, order, window.limit, window.offset)
        return _answer(request, [render(adapter) for adapter in found])

    async def show(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        found = await _in(self._looks, self._finetunes.find, caller.account_id, named)
        return _answer(request, render_whole(found))

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
