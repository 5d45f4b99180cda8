"""Lists in pages: past the last page there is an empty one, for clients ask until they meet it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


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
