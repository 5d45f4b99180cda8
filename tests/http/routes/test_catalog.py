"""The catalogue over a real server with the fake engine, which serves both cards with the stand-in."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from app.accounts.running import Running
from app.catalog.cards import STAND_IN_NOTE, ModelCard, load_cards
from app.engines.fake import FakeEngine
from app.inference.prompt import PromptBuilder
from app.inference.sampling import published_defaults
from app.server.application import EngineGroup, create_app
from app.server.stores import stores_of
from app.settings import CHECKOUT, Settings
from app.types import Caller
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

AI = "/client/v4/accounts/local/ai"
LIST_KEYS = ["result", "success", "errors", "messages", "result_info"]
FILES = {CF: "mistral-7b-instruct-v0.2-lora.json", HF: "mistral-7b-instruct-v0.2.json"}


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as server:
        yield server


def published(name: str) -> dict[str, Any]:
    return dict(json.loads((CHECKOUT / "schemas" / FILES[name]).read_text()))


async def listed(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(f"{AI}{path}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == LIST_KEYS
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
    assert body["result_info"]["count"] == len(body["result"])
    return dict(body)


async def test_items_are_the_published_cards_without_their_schema(served: Served) -> None:
    body = await listed(served.client, "/models/search")
    assert body["result_info"] == {"count": 2, "page": 1, "per_page": 50, "total_count": 2}
    for item in body["result"]:
        card = published(item["name"])
        said = f"{card['description']} Served here by {STAND_IN_NOTE}."
        assert item == {key: value for key, value in {**card, "description": said}.items() if key != "schema"}
        assert all(isinstance(entry["value"], str) for entry in item["properties"])


async def test_pages_until_empty(served: Served) -> None:
    pages = [await listed(served.client, f"/models/search?page={page}&per_page=1") for page in (1, 2, 3, 4)]
    assert {item["name"] for page in pages for item in page["result"]} == {CF, HF}
    assert [page["result_info"]["count"] for page in pages] == [1, 1, 0, 0]
    assert {page["result_info"]["total_count"] for page in pages} == {2}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("task=Text%20Generation", {CF, HF}),
        ("task=Translation", set()),
        ("author=mistral", {CF, HF}),
        ("author=meta", set()),
        ("source=1", {CF}),
        ("source=2.0", {HF}),
        ("search=LoRA", {CF}),
        ("search=not%20mistral", {CF, HF}),
        ("include_deprecated=true&hide_experimental=false", {CF, HF}),
    ],
)
async def test_queries(served: Served, query: str, found: set[str]) -> None:
    body = await listed(served.client, f"/models/search?{query}")
    assert {item["name"] for item in body["result"]} == found


async def test_the_marketplaces_format(served: Served) -> None:
    whole = (await served.client.get(f"{AI}/models/search?format=openrouter")).json()
    assert list(whole) == ["result_info", "data"]
    assert whole["result_info"] == {"total_count": 2}
    assert {model["id"] for model in whole["data"]} == {CF, HF}
    second = await served.client.get(f"{AI}/models/search?format=openrouter&per_page=1&page=2")
    assert second.json() == {"result_info": {"total_count": 2}, "data": whole["data"][1:]}


@pytest.mark.parametrize("name", [CF, HF])
async def test_a_schema(served: Served, name: str) -> None:
    answer = await served.client.get(f"{AI}/models/schema", params={"model": name})
    assert (answer.status_code, answer.json()["result"]) == (200, published(name)["schema"])


async def test_details_of_a_schema_are_the_defaults(served: Served) -> None:
    answer = await served.client.get(f"{AI}/models/schema", params={"model": HF, "details": "true"})
    result = answer.json()["result"]
    assert result.pop("defaults") == published_defaults()
    assert result == published(HF)["schema"]


async def test_tasks_and_authors(served: Served) -> None:
    tasks = await listed(served.client, "/tasks/search")
    assert tasks["result"] == [published(CF)["task"]]
    authors = await listed(served.client, "/authors/search")
    assert authors["result"] == [{"name": "mistral"}]
    assert authors["result_info"] == {"count": 1, "page": 1, "per_page": 1, "total_count": 1}


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/models/search?per_page=0", 5006, "Error: '/per_page' must be >= 1 and a whole number"),
        ("/models/search?page=x&format=openrouter", 5006, "'/page' must be >= 1 and a whole number"),
        ("/models/search?format=xml", 5006, "Error: enum xml not in openrouter at '/format'"),
        ("/models/search?hide_experimental=2", 5006, "enum 2 not in true,false at '/hide_experimental'"),
        ("/models/schema", 5006, "Error: required properties at '/' are 'model'"),
        ("/models/schema?model=", 5006, "Error: required properties at '/' are 'model'"),
        ("/models/schema?model=@cf/no/such", 5007, "No such model @cf/no/such or task"),
    ],
)
async def test_refusals(served: Served, path: str, code: int, text: str) -> None:
    answer = await served.client.get(f"{AI}{path}")
    body = answer.json()
    assert list(body) == ["errors", "success", "result", "messages"]
    assert (answer.status_code, body["errors"][0]["code"]) == (400, code)
    assert text in body["errors"][0]["message"]


@pytest.mark.parametrize(
    "path", ["/models/search", f"/models/schema?model={HF}", "/tasks/search", "/authors/search"]
)
async def test_slashes_methods_and_scopes(served: Served, path: str) -> None:
    plain = await served.client.get(f"{AI}{path}")
    route, mark, query = path.partition("?")
    slashed = await served.client.get(f"{AI}{route}/{mark}{query}")
    assert plain.status_code == 200
    assert slashed.json() == plain.json()
    assert (await served.client.post(f"{AI}{path}")).json()["errors"][0]["code"] == 7001
    _, reader = served.stores.tokens.create("local", ["ai:read"])
    _, stranger = served.stores.tokens.create("other", ["ai:write"])
    for token, status in ((reader, 200), (stranger, 401), ("unknown", 401)):
        answer = await served.client.get(f"{AI}{path}", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status


def catalogue(
    settings: Settings, prompts: PromptBuilder, weights: str, cards: Sequence[ModelCard]
) -> httpx.AsyncClient:
    """A client of a server that serves `cards` with `weights`."""
    stores = stores_of(settings)

    async def find_caller(token: str) -> Caller:
        return Caller("local", frozenset({"ai:read"}))

    app = create_app(
        settings,
        [EngineGroup(FakeEngine(), weights, tuple(cards), lambda: prompts, lambda: pytest.fail("not read"))],
        find_caller=find_caller,
        running=Running(lambda asked: set()),
        finetunes=stores.finetunes,
    )
    headers = {"authorization": "Bearer any"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app.asgi), base_url="http://127.0.0.1", headers=headers
    )


async def test_what_is_not_served_is_not_there(settings: Settings, prompts: PromptBuilder) -> None:
    card = load_cards(CHECKOUT / "schemas")[HF]
    async with catalogue(settings, prompts, "mistralai/Mistral-7B-Instruct-v0.2", [card]) as client:
        (item,) = (await listed(client, "/models/search"))["result"]
        assert item["description"] == published(HF)["description"]
        assert (await client.get(f"{AI}/models/schema?model={HF}")).status_code == 200
        gone = await client.get(f"{AI}/models/schema?model={CF}")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (400, 5007)


async def test_a_served_model_is_listed_after_its_deprecation(
    settings: Settings, prompts: PromptBuilder
) -> None:
    card = load_cards(CHECKOUT / "schemas")[HF]
    date = {"property_id": "planned_deprecation_date", "value": "2024-05-30"}
    old = replace(card, raw={**card.raw, "properties": [date], "deprecated": True})
    async with catalogue(settings, prompts, "some/weights", [old]) as client:
        for query in ("", "?include_deprecated=false", "?include_deprecated=true"):
            (item,) = (await listed(client, f"/models/search{query}"))["result"]
            assert item["properties"] == [date]
            assert "deprecated" not in item
