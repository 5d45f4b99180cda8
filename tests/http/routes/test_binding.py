"""app/http/routes/binding.py over a real socket, with the fake engine: what workerd and wrangler 3 send."""

import json
from typing import Any

import httpx
import pytest

from app.engines.fake import ANSWER
from tests.conftest import HF, Serve, Served

pytestmark = pytest.mark.anyio

BINDING = {"host": "workers-binding.ai"}
MODEL = {"cf-consn-model-id": HF, "cf-consn-sdk-version": "2.0.0"}
ASK = {"inputs": {"prompt": "Say hello"}, "options": {}}
STREAM = {"inputs": {"prompt": "Say hello", "stream": True}, "options": {}}
RUN = "https://workers-binding.ai/run?version=3"
MODELS = "https://workers-binding.ai/ai-api/models/search"
PROXY = "/client/v4/accounts/local/ai/run/proxy"
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "plugin": ("/run?version=3", BINDING),
    "gateway": ("/ai-gateway/run?version=3", BINDING),
    "loopback": ("/run", {}),
    "proxy": (PROXY, {"x-forwarded": RUN}),
    "proxied-gateway": (PROXY, {"x-forwarded": "http://workers-binding.ai/ai-gateway/run?version=3"}),
}
every_way = pytest.mark.parametrize("way", WAYS)


async def run(served: Served, way: str, body: Any = ASK, **headers: str) -> httpx.Response:
    path, own = WAYS[way]
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(body)  # a Content-Type is not looked at
    return await served.client.post(path, content=content, headers={**MODEL, **own, **more})


def shape(answer: httpx.Response) -> tuple[int, int, str]:
    """Status, code and description of an error; what all have alike is checked."""
    body = answer.json()
    assert list(body) == ["name", "internalCode", "httpCode", "message", "description", "requestId"]
    assert answer.headers["content-type"] == "application/json"
    assert (body["name"], body["httpCode"]) == ("AiError", answer.status_code)
    assert body["requestId"] == answer.headers["cf-ai-req-id"]
    assert body["message"].startswith("AiError: ")
    assert body["message"].endswith(f"{body['description']} ({body['requestId']})")
    return answer.status_code, body["internalCode"], body["description"]


@every_way
async def test_json_without_an_envelope(serve: Serve, way: str) -> None:
    async with serve() as served:
        answer = await run(served, way)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert len(answer.headers["cf-ai-req-id"]) == 36
        assert list(answer.json()) == ["response", "usage"]
        assert answer.json()["response"] == ANSWER


@every_way
async def test_streams_are_the_native_ones(serve: Serve, way: str) -> None:
    async with serve() as served:
        answer = await run(served, way, STREAM)
        assert answer.headers["content-type"] == "text/event-stream"
        assert len(answer.headers["cf-ai-req-id"]) == 36
        *events, usage, done = answer.text.removesuffix("\n\n").split("\n\n")
        assert "".join(json.loads(event.removeprefix("data: "))["response"] for event in events) == ANSWER
        assert json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"] == len(ANSWER.split())
        assert done == "data: [DONE]"


async def test_the_token_s_account_runs_it(serve: Serve) -> None:
    async with serve() as served:
        _, token = served.stores.tokens.create("other", ["ai:read"])
        bearer = f"Bearer {token}"
        assert (await run(served, "plugin", authorization=bearer)).status_code == 200
        refused = await run(served, "proxy", authorization=bearer)  # the path names an account of its own
        assert shape(refused) == (401, 10000, "Authentication error")
        own = PROXY.replace("local", "other")
        headers = {**MODEL, "x-forwarded": RUN, "authorization": bearer}
        assert (await served.client.post(own, json=ASK, headers=headers)).status_code == 200


@every_way
async def test_no_run_without_a_token(serve: Serve, way: str) -> None:
    async with serve() as served:
        assert shape(await run(served, way, authorization="Bearer nobody")) == (
            401,
            10000,
            "Authentication error",
        )
        assert shape(await run(served, way, authorization="nonsense"))[:2] == (400, 9106)
        path, own = WAYS[way]
        async with httpx.AsyncClient(base_url=served.url) as stranger:
            answer = await stranger.post(path, json=ASK, headers={**MODEL, **own})
        assert shape(answer)[:2] == (400, 9106)


async def test_the_binding_s_host_on_the_binding_s_paths_only(serve: Serve) -> None:
    async with serve() as served:
        for path in ("/openapi.json", served.path(), PROXY, "/client/v4/user", "/runs", "/", "/run2/x"):
            answer = await served.client.get(path, headers=BINDING)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (421, 7004), path
        answer = await served.client.post(PROXY, json=ASK, headers={**MODEL, **BINDING, "x-forwarded": RUN})
        assert shape(answer)[:2] == (421, 7004)
        for way in ("plugin", "gateway"):
            for host in ("workers-binding.ai.evil.example", "evil.example", "xworkers-binding.ai"):
                assert shape(await run(served, way, host=host))[:2] == (421, 7004)
            assert (await run(served, way, host="workers-binding.ai:8788")).status_code == 200


@every_way
async def test_refusals(serve: Serve, way: str) -> None:
    async with serve() as served:
        unknown = await run(served, way, cf_consn_model_id="@cf/no/such")
        assert shape(unknown) == (400, 5007, "No such model @cf/no/such or task")
        mistyped = await run(served, way, {"inputs": {"prompt": 5}})
        assert shape(mistyped)[:2] == (400, 5006)
        assert shape(mistyped)[2].startswith(
            "Error: oneOf at '/' not met, 0 matches: Type mismatch of '/prompt'"
        )
        lora = await run(served, way, {"inputs": {"prompt": "a", "lora": "nobody", "stream": True}})
        assert shape(lora) == (404, 5033, "Finetune nobody does not exist or is not accessible")
        assert shape(await run(served, way, ["nothing"]))[:2] == (400, 5006)
        assert shape(await run(served, way, cf_consn_model_id=""))[:2] == (400, 3003)


async def test_what_the_binding_can_send_and_is_not_served(serve: Serve) -> None:
    async with serve() as served:
        headers = {**MODEL, **BINDING}
        query = {"version": "3", "userInputs": "{}"}
        answer = await served.client.post("/run", params=query, content=b"\0\1", headers=headers)
        assert shape(answer)[:2] == (400, 5006)
        assert "ReadableStream" in shape(answer)[2]
        proxied = {**MODEL, "x-forwarded": f"{RUN}&userInputs=%7B%7D"}
        assert "ReadableStream" in shape(await served.client.post(PROXY, content=b"\0", headers=proxied))[2]
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        answer = await served.client.get("/run?version=3&body=%7B%7D", headers={**headers, **upgrade})
        assert shape(answer)[:2] == (400, 5006)
        assert "websocket" in shape(answer)[2]
        answer = await served.client.get(PROXY, headers={**MODEL, "x-forwarded": RUN})
        assert "websocket" in answer.json()["errors"][0]["message"]
        answer = await served.client.post("/to-everything/markdown/transformer", headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 7000)


@pytest.mark.parametrize("forwarded", [None, "", "https://workers-binding.ai", "https://[", "?a=b"])
async def test_a_proxied_request_without_an_address(serve: Serve, forwarded: str | None) -> None:
    async with serve() as served:
        headers = MODEL if forwarded is None else {**MODEL, "x-forwarded": forwarded}
        answer = await served.client.post(PROXY, json=ASK, headers=headers)
        assert shape(answer)[:2] == (400, 3003)
        assert "X-Forwarded" in shape(answer)[2]
        answer = await served.client.get(PROXY, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 3003)


async def test_a_proxied_request_to_another_path(serve: Serve) -> None:
    async with serve() as served:
        for path in ("/health", "/client/v4/user", "/runs", "/ai-api/models/search"):
            headers = {**MODEL, "x-forwarded": f"https://workers-binding.ai{path}"}
            answer = await served.client.post(PROXY, json=ASK, headers=headers)
            assert shape(answer) == (400, 7000, "No route for that URI")
        answer = await served.client.get(PROXY, headers={"x-forwarded": "https://workers-binding.ai/health"})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 7000)


async def test_models(serve: Serve) -> None:
    async with serve() as served:
        search = (await served.client.get("/client/v4/accounts/local/ai/models/search")).json()["result"]
        assert search
        query = "?search=lora&per_page=1"
        for path, headers in (
            (f"/ai-api/models/search{query}", BINDING),
            (PROXY, {"x-forwarded": f"{MODELS}{query}"}),
        ):
            answer = await served.client.get(path, headers=headers)
            assert answer.json()["result"] == [item for item in search if "lora" in item["name"]][:1]
        answer = await served.client.get("/ai-api/models/search?page=x", headers=BINDING)
        assert answer.json()["errors"][0]["code"] == 5006  # env.AI.models() reads the envelope of an error
        answer = await served.client.get(PROXY, headers={"x-forwarded": MODELS, "authorization": "Bearer no"})
        assert answer.json()["errors"][0]["code"] == 10000
