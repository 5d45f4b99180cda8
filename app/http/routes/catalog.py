"""`…/ai/models/search`, `…/ai/models/schema`, `…/ai/tasks/search`, `…/ai/authors/search`: what is served here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard
from app.catalog.pages import page_of
from app.catalog.search import search
from app.catalog.served import as_served
from app.errors import NoSuchModel
from app.http.envelope import JsonResponse, success
from app.http.exchange import exchange_of
from app.http.request_values import flag, required
from app.http.routes import catalog_objects as dialect
from app.http.text_generation import ServedModel
from app.types import Caller


def served_cards(models: Iterable[ServedModel]) -> tuple[ModelCard, ...]:
    """The cards that every list of models is made of."""
    return tuple(as_served(model.card, model.pipeline.weights) for model in models)


class CatalogueHandlers:
    """The same answers for every account. `aliases` are card names by other names of theirs."""

    def __init__(self, cards: Sequence[ModelCard], aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._cards = {card.name: card for card in cards}
        self._tasks = dialect.tasks_of(cards)
        self._authors = dialect.authors_of(cards)

    async def search(self, request: Request, caller: Caller) -> Response:
        page = search(self._cards.values(), dialect.read_search(request.query_params))
        if dialect.wants_openrouter(request.query_params):
            models = [dialect.render_openrouter(card) for card in page.items]
            return JsonResponse({"result_info": {"total_count": page.total_count}, "data": models})
        items = [card.published for card in page.items]
        return success(items, exchange_of(request.scope).request_id, page=page)

    async def schema(self, request: Request, caller: Caller) -> Response:
        name = required(request.query_params, "model")
        card = self._cards.get(self._aliases.get(name, name))
        if card is None:
            raise NoSuchModel(name)
        rendered = dialect.render_schema(card, details=flag(request.query_params, "details"))
        return success(rendered, exchange_of(request.scope).request_id)

    async def tasks(self, request: Request, caller: Caller) -> Response:
        return _whole_list(request, self._tasks)

    async def authors(self, request: Request, caller: Caller) -> Response:
        return _whole_list(request, self._authors)


def _whole_list(request: Request, items: Sequence[Any]) -> Response:
    """A list that takes no query parameters."""
    page = page_of(items, 1, max(1, len(items)))
    return success(page.items, exchange_of(request.scope).request_id, page=page)
