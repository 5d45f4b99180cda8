"""`…/ai/models/search`, `…/ai/models/schema`, `…/ai/tasks/search`, `…/ai/authors/search`: what is served here."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.catalog.cards import ModelCard, as_served
from app.catalog.search import PER_PAGE, Query, page_of, search
from app.errors import NoSuchModel
from app.http.envelope import JsonResponse, success
from app.http.exchange import exchange_of
from app.http.request_values import choice, flag, required, text, whole
from app.http.text_generation import ServedModel
from app.inference.sampling import published_defaults
from app.types import Caller

OPENROUTER = "openrouter"
FEATURES = ("structured_outputs", "json_mode", "tools")  # what this server does with every model
PRICED = MappingProxyType({"prompt": "per M input tokens", "completion": "per M output tokens"})
TOKENS_OF_A_PRICE = 1_000_000


def read_search(query: Mapping[str, str]) -> Query:
    """Raises `BadInput`. `include_deprecated` is checked and changes nothing: what is served is listed."""
    flag(query, "include_deprecated")
    return Query(
        task=text(query, "task"),
        author=text(query, "author"),
        source=whole(query, "source", None, 0),
        text=text(query, "search"),
        hide_experimental=flag(query, "hide_experimental"),
        page=whole(query, "page", 1, 1),
        per_page=whole(query, "per_page", PER_PAGE, 1),
    )


def wants_openrouter(query: Mapping[str, str]) -> bool:
    """Whether `format` asks for the marketplace's shape. Raises `BadInput` for any other format."""
    return choice(query, "format", (OPENROUTER,)) is not None


def render_openrouter(card: ModelCard) -> dict[str, Any]:
    """One of `data`. Input and output share the context, so an output may be as long as that."""
    return {
        "id": card.name,
        "name": card.name,
        "input_modalities": ["text"],
        "context_length": card.limits.max_total_tokens,
        "max_output_length": card.limits.max_total_tokens,
        "pricing": {kind: _per_token(card, unit) for kind, unit in PRICED.items()},
        "supported_features": list(FEATURES),
    }


def _per_token(card: ModelCard, unit: str) -> str:
    """US dollars for one token, by the card's `price`; 0 where it has none."""
    published = card.properties.get("price")
    items = [item for item in published if isinstance(item, dict)] if isinstance(published, list) else []
    prices = [item.get("price") for item in items if item.get("unit") == unit]
    price = next((Decimal(str(price)) for price in prices if type(price) in (int, float)), Decimal())
    return format((price / TOKENS_OF_A_PRICE).normalize(), "f")


def render_schema(card: ModelCard, *, details: bool) -> dict[str, Any]:
    """Return what the model takes and gives, as published; with `details` also what is taken for fields not sent."""
    schemas = {name: card.raw["schema"][name] for name in ("input", "output")}
    return {**schemas, "defaults": published_defaults()} if details else schemas


def tasks_of(cards: Iterable[ModelCard]) -> list[dict[str, Any]]:
    """`{id, name, description}` of each task once."""
    return list({card.raw["task"]["id"]: card.raw["task"] for card in cards}.values())


def authors_of(cards: Iterable[ModelCard]) -> list[dict[str, str]]:
    """`{name}` of each author once."""
    return [{"name": name} for name in dict.fromkeys(card.author for card in cards)]


def served_cards(models: Iterable[ServedModel]) -> tuple[ModelCard, ...]:
    """The cards that every list of models is made of."""
    return tuple(as_served(model.card, model.pipeline.weights) for model in models)


class CatalogueHandlers:
    """The same answers for every account. `aliases` are card names by other names of theirs."""

    def __init__(self, cards: Sequence[ModelCard], aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._cards = {card.name: card for card in cards}
        self._tasks = tasks_of(cards)
        self._authors = authors_of(cards)

    async def search(self, request: Request, caller: Caller) -> Response:
        page = search(self._cards.values(), read_search(request.query_params))
        if wants_openrouter(request.query_params):
            models = [render_openrouter(card) for card in page.items]
            return JsonResponse({"result_info": {"total_count": page.total_count}, "data": models})
        items = [card.published for card in page.items]
        return success(items, exchange_of(request.scope).request_id, page=page)

    async def schema(self, request: Request, caller: Caller) -> Response:
        name = required(request.query_params, "model")
        card = self._cards.get(self._aliases.get(name, name))
        if card is None:
            raise NoSuchModel(name)
        rendered = render_schema(card, details=flag(request.query_params, "details"))
        return success(rendered, exchange_of(request.scope).request_id)

    async def tasks(self, request: Request, caller: Caller) -> Response:
        return _whole_list(request, self._tasks)

    async def authors(self, request: Request, caller: Caller) -> Response:
        return _whole_list(request, self._authors)


def _whole_list(request: Request, items: Sequence[Any]) -> Response:
    """A list that takes no query parameters."""
    page = page_of(items, 1, max(1, len(items)))
    return success(page.items, exchange_of(request.scope).request_id, page=page)
