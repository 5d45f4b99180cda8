from dataclasses import replace

import pytest

from app.catalog.cards import ModelCard
from app.catalog.search import Page, Query, page_of, search

CF = "@cf/mistral/mistral-7b-instruct-v0.2-lora"
HF = "@hf/mistral/mistral-7b-instruct-v0.2"
PHI = "@cf/microsoft/phi-2"
EVERY = {CF, HF, PHI}


@pytest.fixture(scope="session")
def three(cards: dict[str, ModelCard]) -> list[ModelCard]:
    return [*cards.values(), replace(cards[CF], name=PHI, description="Small.", task="Translation")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), EVERY),
        (Query(task="text generation"), {CF, HF}),
        (Query(task="text"), set()),
        (Query(author="Mistral"), {CF, HF}),
        (Query(author="mis"), set()),
        (Query(source=1), {CF, PHI}),
        (Query(source=2), {HF}),
        (Query(source=0), set()),
        (Query(hide_experimental=True), {CF, PHI}),
        (Query(text="PHI"), {PHI}),
        (Query(text="small."), {PHI}),
        (Query(text="32K context"), {HF}),
        (Query(text="2\nthe"), set()),
        (Query(source=1, author="mistral", text="lora", task="Text Generation"), {CF}),
    ],
)
def test_what_a_query_finds(three: list[ModelCard], query: Query, found: set[str]) -> None:
    page = search(three, query)
    assert {card.name for card in page.items} == found
    assert page.total_count == len(found)


def test_pages_in_the_order_of_the_cards(three: list[ModelCard]) -> None:
    pages = [search(three, Query(page=number, per_page=2)) for number in (1, 2, 3)]
    assert [len(page.items) for page in pages] == [2, 1, 0]
    assert [card for page in pages for card in page.items] == three
    assert {(page.per_page, page.total_count) for page in pages} == {(2, 3)}


def test_a_page_of_a_list() -> None:
    assert page_of("abcde", 2, 2) == Page(("c", "d"), 2, 2, 5)
    assert page_of("abcde", 10**9, 10**9) == Page((), 10**9, 10**9, 5)
    assert page_of("", 1, 1).items == ()
