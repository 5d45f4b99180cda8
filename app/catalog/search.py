"""Pages of lists, and what every list of models is made by: `models/search`, the env.AI binding's and OpenAI's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.catalog.cards import ModelCard

PER_PAGE = 50

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Query:
    """Which cards, and which page of them. None asks for all; texts are compared without regard to case.

    `task` is a task's name, `source` 1 for `@cf` and 2 for `@hf`, `text` a part of the name or the description.
    `hide_experimental` leaves out those that are published as beta.
    """

    task: str | None = None
    author: str | None = None
    source: int | None = None
    text: str | None = None
    hide_experimental: bool = False
    page: int = 1
    per_page: int = PER_PAGE


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list that has `total_count` items; `number` counts from 1."""

    items: tuple[T, ...]
    number: int
    per_page: int
    total_count: int


def page_of(items: Sequence[T], number: int, per_page: int) -> Page[T]:
    """Page `number` of `items`, both numbers from 1."""
    start = (number - 1) * per_page
    return Page(tuple(items[start : start + per_page]), number, per_page, len(items))


def search(cards: Iterable[ModelCard], query: Query) -> Page[ModelCard]:
    """The page of the cards that `query` asks for, in their order."""
    return page_of([card for card in cards if _matches(card, query)], query.page, query.per_page)


def _matches(card: ModelCard, query: Query) -> bool:
    return (
        _equal(query.task, card.task)
        and _equal(query.author, card.author)
        and query.source in (None, card.source)
        and not (query.hide_experimental and card.properties.get("beta") == "true")
        and any((query.text or "").casefold() in text.casefold() for text in (card.name, card.description))
    )


def _equal(wanted: str | None, value: str) -> bool:
    return wanted is None or wanted.casefold() == value.casefold()
