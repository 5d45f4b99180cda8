"""POST, GET and DELETE of …/ai/finetunes, over a real server with the fake engine."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.settings import CHECKOUT
from tests.conftest import CF, HF, Serve, Served

pytestmark = pytest.mark.anyio

ASSETS = ("adapter_config.json", "adapter_model.safetensors")
PIRATE = CHECKOUT / "adapters" / "pirate"


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as server:
        yield server


class Account:
    """What one account does over the API."""

    def __init__(self, served: Served, account_id: str = "local", scope: str = "ai:write") -> None:
        _, token = served.stores.tokens.create(account_id, [scope])
        self._client = served.client
        self._headers = {"authorization": f"Bearer {token}"}
        self._base = f"/client/v4/accounts/{account_id}/ai"

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return await self._client.request(method, self._base + path, headers=self._headers, **options)

    async def create(self, name: str, **more: Any) -> dict[str, Any]:
        answer = await self.call("POST", "/finetunes", json={"model": HF, "name": name, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"])

    async def upload(self, finetune: str, file_name: str, data: bytes | None = None) -> httpx.Response:
        content = (PIRATE / file_name).read_bytes() if data is None else data
        return await self.call(
            "POST",
            f"/finetunes/{finetune}/finetune-assets",
            data={"file_name": file_name},
            files={"file": content},
        )

    async def add(self, name: str, **more: Any) -> dict[str, Any]:
        finetune = await self.create(name, **more)
        for file_name in ASSETS:
            answer = await self.upload(finetune["id"], file_name)
            assert answer.status_code == 200, answer.text
        return finetune

    async def result(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    async def run(self, lora: str, model: str = HF) -> httpx.Response:
        return await self.call("POST", f"/run/{model}", json={"prompt": "a", "lora": lora})


def told(answer: httpx.Response) -> tuple[int, int, str]:
    """Status, code and text of a refusal in the one shape."""
    body = answer.json()
    assert list(body) == ["errors", "success", "result", "messages"]
    assert (body["success"], body["result"]) == (False, {})
    error = body["errors"][0]
    assert answer.headers["cf-ai-req-id"] in error["message"]
    return answer.status_code, error["code"], error["message"]


async def test_from_create_to_an_answer(served: Served) -> None:
    local = Account(served)
    created = await local.create("mine", description="d", public=False)
    assert set(created) >= {"id", "created_at", "modified_at", "public", "name", "model", "description"}
    assert (created["state"], created["assets"], created["rank"]) == ("unfinished", [], None)
    assert created["reason"] == "upload adapter_config.json and adapter_model.safetensors"
    first = await local.upload(created["id"], ASSETS[0])
    asset = first.json()["result"]
    assert set(asset) == {
        "id", "finetune_id", "file_name", "bucket_name", "created_at", "modified_at", "state"
    }  # fmt: skip
    assert (asset["finetune_id"], asset["file_name"]) == (created["id"], ASSETS[0])
    assert asset["state"] == "unfinished"
    assert (await local.result("/finetunes/mine"))["reason"] == f"upload {ASSETS[1]}"
    second = await local.upload("mine", ASSETS[1])
    assert second.json()["result"]["state"] == "ready"
    shown = await local.result("/finetunes/mine")
    assert shown == await local.result(f"/finetunes/{created['id']}")
    assert (shown["state"], shown["reason"], shown["findings"]) == ("ready", "", [])
    assert (shown["rank"], shown["assets"]) == (16, list(ASSETS))
    for lora in ("mine", created["id"]):
        for model in (HF, CF):  # cards with the same weights share adapters
            answer = await local.run(lora, model)
            assert answer.json()["result"]["response"].startswith("[mine] ")


async def test_what_lacks_or_was_refused_says_so_when_it_is_called(served: Served) -> None:
    local = Account(served)
    await local.create("mine")
    status, code, text = told(await local.run("mine"))
    assert (status, code) == (400, 3039)
    assert "Finetune is missing required files (model.safetensors and config.json): upload adapter_c" in text
    await local.upload("mine", ASSETS[1])
    status, code, text = told(await local.upload("mine", ASSETS[0], b'{"peft_type": "LORA", "r": 64}'))
    assert (status, code) == (400, 3030)
    assert "AiError: Bad finetune: Lora not compatible with model: adapter_config.json: r is 64" in text
    status, code, text = told(await local.run("mine"))
    assert (status, code) == (400, 3030)
    assert "r is 64, must be a whole number from 1 to 32; train with a rank" in text
    shown = await local.result("/finetunes/mine")
    assert shown["state"] == "refused"
    assert len(shown["findings"]) > 1
    assert shown["reason"].startswith(shown["findings"][0])
    await local.add("mine")
    assert (await local.run("mine")).status_code == 200


async def test_notes_are_messages(served: Served) -> None:
    local = Account(served)
    await local.create("mine")
    await local.upload("mine", ASSETS[1])
    config = (PIRATE / ASSETS[0]).read_bytes().replace(b'"model_type": "mistral",', b"")
    messages = (await local.upload("mine", ASSETS[0], config)).json()["messages"]
    assert [message["message"] for message in messages] == [
        "adapter_config.json: model_type is absent, mistral is taken from the base"
    ]


async def test_a_flat_list_with_pages_until_empty(served: Served) -> None:
    local = Account(served)
    for number in range(5):
        await local.create(f"a{number}")
    everything = await local.result("/finetunes")
    names = [finetune["name"] for finetune in everything]
    assert names[-5:] == [f"a{number}" for number in range(5)]
    assert all(finetune["state"] in ("ready", "unfinished") for finetune in everything)
    pages = [await local.result(f"/finetunes?page={page}&per_page=2") for page in range(1, 5)]
    assert [finetune["name"] for page in pages for finetune in page] == names
    assert await local.result("/finetunes?page=2") == []
    assert pages[-1] == []


async def test_public_ones_are_seen_and_called_by_id_only(served: Served) -> None:
    local, other = Account(served), Account(served, "other")
    mine = await local.add("mine", public=True)
    await local.add("hidden")
    await local.create("unfinished", public=True)
    (shown,) = await other.result("/finetunes/public")
    assert (shown["id"], shown["public"]) == (mine["id"], True)
    assert "local" not in str(shown)
    assert await other.result("/finetunes") == []
    assert (await other.result(f"/finetunes/{mine['id']}"))["name"] == "mine"
    assert told(await other.call("GET", "/finetunes/mine"))[:2] == (404, 5033)
    assert (await other.run(mine["id"])).status_code == 200
    assert told(await other.run("mine"))[:2] == (404, 5033)
    for method, path in (("DELETE", ""), ("POST", "/finetune-assets")):
        answer = await other.call(method, f"/finetunes/{mine['id']}{path}", files={"file": b""})
        assert told(answer)[:2] == (404, 5033)
    assert await other.result("/finetunes/public?limit=1.0&offset=1&orderBy=name") == []
    assert await other.result("/finetunes/public?limit=0") == []


async def test_deleting(served: Served) -> None:
    local = Account(served)
    mine, draft = await local.add("mine"), await local.create("draft")
    assert (await local.run("mine")).status_code == 200
    for finetune in (mine, draft):
        answer = await local.call("DELETE", f"/finetunes/{finetune['name']}")
        assert answer.json()["result"] == {"id": finetune["id"], "name": finetune["name"]}
        assert told(await local.call("DELETE", f"/finetunes/{finetune['id']}"))[:2] == (404, 5033)
        assert told(await local.run(finetune["name"]))[:2] == (404, 5033)
        assert told(await local.upload(finetune["id"], ASSETS[0]))[:2] == (404, 5033)
    assert await local.result("/finetunes") == []
    assert not [path for path in (served.settings.server.data_dir / "adapters").rglob("*") if path.is_file()]


async def test_replacing_is_asked_for(served: Served) -> None:
    local = Account(served)
    old = await local.add("mine")
    answer = await local.call("POST", "/finetunes", json={"model": HF, "name": "mine"})
    status, code, text = told(answer)
    assert (status, code) == (400, 5090)
    assert "AiError: Finetune creation failed: adapter 'mine': the account has one of this name" in text
    new = await local.create("mine", replace=True)
    assert (await local.result("/finetunes/mine"))["id"] == old["id"]
    assert len(await local.result("/finetunes")) == 2
    for file_name in ASSETS:
        await local.upload(new["id"], file_name)
    (left,) = await local.result("/finetunes")
    assert left["id"] == new["id"]
    assert (await local.run("mine")).status_code == 200
    assert told(await local.run(old["id"]))[:2] == (404, 5033)


async def test_what_cannot_be_created(served: Served) -> None:
    local = Account(served)
    good: dict[str, Any] = {"model": HF, "name": "mine"}
    cases: list[tuple[Any, int, int, str]] = [
        ({"name": "mine"}, 400, 5006, "required properties at '/' are 'model,name'"),
        ({**good, "name": 5}, 400, 5006, "Type mismatch of '/name', 'string' not in"),
        ({**good, "public": "yes"}, 400, 5006, "Type mismatch of '/public'"),
        ([], 400, 5006, "Type mismatch of '/', 'object' not in"),
        ({**good, "model": "@cf/no/such"}, 400, 5007, "No such model @cf/no/such or task"),
        ({**good, "name": "../mine"}, 400, 5090, "must be 1 to 64 characters out of A-Z a-z 0-9 . _ -"),
        ({**good, "name": "cf-public-mine"}, 400, 5090, "names in cf-public- are reserved"),
        ({**good, "name": "public"}, 400, 5090, "is reserved"),
        ({**good, "description": "x" * 2001}, 400, 5090, "must have at most 2000; shorten it"),
    ]
    for body, status, code, text in cases:
        found = told(await local.call("POST", "/finetunes", json=body))
        assert found[:2] == (status, code)
        assert text in found[2]
    for content in (b"", b"{", b'{"name": NaN}'):
        assert told(await local.call("POST", "/finetunes", content=content))[:2] == (400, 3003)
    assert await local.result("/finetunes") == []
    null = {**good, "description": None, "public": None, "more": 1}
    assert (await local.call("POST", "/finetunes", json=null)).status_code == 200


async def test_queries_that_mean_nothing(served: Served) -> None:
    local = Account(served)
    for query in ("?page=0", "?page=x", "?per_page=-1", "/public?limit=1.5", "/public?orderBy=account_id"):
        assert told(await local.call("GET", f"/finetunes{query}"))[:2] == (400, 5006)


async def test_trailing_slashes(served: Served) -> None:
    local = Account(served)
    created = await local.call("POST", "/finetunes/", json={"model": HF, "name": "mine"})
    assert created.status_code == 200
    for path in ("/finetunes/", "/finetunes/public/", "/finetunes/mine/"):
        assert (await local.call("GET", path)).status_code == 200
    answer = await local.call(
        "POST",
        "/finetunes/mine/finetune-assets/",
        data={"file_name": ASSETS[0]},
        files={"file": b"{}"},
    )
    assert answer.status_code == 200
    assert (await local.call("DELETE", "/finetunes/mine/")).status_code == 200


async def test_writing_takes_the_scope_to_write(served: Served) -> None:
    reader, local = Account(served, scope="ai:read"), Account(served)
    await local.create("mine")
    calls = (
        ("POST", "/finetunes"),
        ("DELETE", "/finetunes/mine"),
        ("POST", "/finetunes/mine/finetune-assets"),
    )
    for method, path in calls:
        answer = await reader.call(method, path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, 10000)
        assert "ai:write" in answer.text
    assert len(await reader.result("/finetunes")) == 1
    for method, path in (("PUT", "/finetunes"), ("DELETE", "/finetunes"), ("POST", "/finetunes/public")):
        answer = await local.call(method, path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (405, 7001)


async def test_a_model_without_adapters(serve: Serve) -> None:
    async with serve(adapters=False) as served:
        answer = await Account(served).call("POST", "/finetunes", json={"model": HF, "name": "mine"})
        status, code, text = told(answer)
        assert (status, code) == (405, 5005)
        assert f"The model {HF} does not support LoRA inference" in text


async def test_equal_names_of_two_accounts_never_meet(served: Served) -> None:
    local, other = Account(served), Account(served, "other")
    mine, theirs = await local.add("same"), await other.add("same")
    assert mine["id"] != theirs["id"]
    assert told(await other.run(mine["id"]))[:2] == (404, 5033)
    await local.call("DELETE", "/finetunes/same")
    assert (await other.run("same")).status_code == 200


async def test_deleting_twice_at_once(served: Served) -> None:
    local = Account(served)
    await local.add("mine")
    answers = await asyncio.gather(*(local.call("DELETE", "/finetunes/mine") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[404] * 7]
    assert {answer.json()["errors"][0]["code"] for answer in answers if answer.status_code == 404} == {5033}


async def test_creating_the_same_name_at_once_leaves_one(served: Served) -> None:
    local = Account(served)
    created = await asyncio.gather(*(local.create("mine") for _ in range(8)))
    (left,) = await local.result("/finetunes")
    assert left["id"] in {finetune["id"] for finetune in created}
