"""The catalogue's JSON: the query of `models/search`, and cards, tasks and authors as clients see them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from app.catalog.cards import ModelCard
from app.catalog.search import PER_PAGE, Query
from app.http.request_values import choice, flag, text, whole
from app.inference.sampling import published_defaults

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
