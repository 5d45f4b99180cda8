from dataclasses import replace
from typing import Any

import pytest

from app.catalog.cards import ModelCard, load_cards
from app.catalog.search import Query
from app.errors import BadInput
from app.http.routes.catalog import (
    authors_of,
    read_search,
    render_openrouter,
    render_schema,
    tasks_of,
    wants_openrouter,
)
from app.settings import CHECKOUT
from tests.conftest import CF, HF


@pytest.fixture(scope="session")
def cards() -> dict[str, ModelCard]:
    return load_cards(CHECKOUT / "schemas")


def test_a_whole_query() -> None:
    query = {
        "task": "Text Generation",
        "author": "mistral",
        "source": "2.0",
        "search": "lora",
        "hide_experimental": "true",
        "include_deprecated": "true",
        "page": "3",
        "per_page": "10",
        "unknown": "x",
    }
    assert read_search(query) == Query("Text Generation", "mistral", 2, "lora", True, 3, 10)
    assert read_search({}) == read_search(dict.fromkeys(("task", "author", "search"), "")) == Query()


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("page", "0", "'/page' must be >= 1 and a whole number"),
        ("per_page", "0", "'/per_page' must be >= 1 and a whole number"),
        ("source", "hf", "'/source' must be >= 0 and a whole number"),
        ("hide_experimental", "yes", "enum yes not in true,false at '/hide_experimental'"),
        ("include_deprecated", "yes", "enum yes not in true,false at '/include_deprecated'"),
    ],
)
def test_queries_that_mean_nothing(field: str, value: str, rule: str) -> None:
    with pytest.raises(BadInput, match=rule):
        read_search({field: value})


def test_formats() -> None:
    assert [wants_openrouter(query) for query in ({}, {"format": "openrouter"})] == [False, True]
    with pytest.raises(BadInput, match="enum xml not in openrouter at '/format'"):
        wants_openrouter({"format": "xml"})


def test_the_marketplaces_shape(cards: dict[str, ModelCard]) -> None:
    assert render_openrouter(cards[CF]) == {
        "id": CF,
        "name": CF,
        "input_modalities": ["text"],
        "context_length": 15000,
        "max_output_length": 15000,
        "pricing": {"prompt": "0", "completion": "0"},
        "supported_features": ["structured_outputs", "json_mode", "tools"],
    }
    assert render_openrouter(cards[HF])["context_length"] == 4096


PER_INPUT = {"unit": "per M input tokens", "price": 0.11, "currency": "USD"}
PER_OUTPUT = {"unit": "per M output tokens", "price": 20, "currency": "USD"}


@pytest.mark.parametrize(
    ("price", "prompt", "completion"),
    [
        ([PER_INPUT, PER_OUTPUT], "0.00000011", "0.00002"),
        ([PER_OUTPUT], "0", "0.00002"),
        ([{"unit": "per audio minute", "price": 1}], "0", "0"),
        ([{"unit": "per M input tokens", "price": "free"}, {"price": 1}, 5], "0", "0"),
        ("cheap", "0", "0"),
    ],
)
def test_prices_are_of_one_token(
    cards: dict[str, ModelCard], price: Any, prompt: str, completion: str
) -> None:
    card = replace(cards[CF], properties={"price": price})
    assert render_openrouter(card)["pricing"] == {"prompt": prompt, "completion": completion}


def test_schemas_as_published(cards: dict[str, ModelCard]) -> None:
    shown = render_schema(cards[CF], details=False)
    assert list(shown) == ["input", "output"]
    assert shown == cards[CF].raw["schema"]


def test_each_task_and_author_once(cards: dict[str, ModelCard]) -> None:
    cf = cards[CF]
    other = replace(
        cf, name="@cf/microsoft/phi-2", raw={**cf.raw, "task": {"id": "2", "name": "t", "description": "d"}}
    )
    found = [*cards.values(), other]
    assert tasks_of(found) == [cf.raw["task"], {"id": "2", "name": "t", "description": "d"}]
    assert authors_of(found) == [{"name": "mistral"}, {"name": "microsoft"}]
