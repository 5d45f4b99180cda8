"""Every answer is one that the document promises: of each operation a success and each kind of error."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.engines.fake import FakeEngine
from app.http.openapi.operations import operations
from app.inference.prompt import PromptBuilder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import Settings
from app.types import Delta
from tests.adapters.make import good
from tests.conftest import CF, HF, Serve, Served
from tests.http.forms import CONTENT_TYPE, asset_form, asset_start, files_of
from tests.http.openapi.contract import Contract
from tests.http.uploads import left_in, until, uploads_to

pytestmark = pytest.mark.anyio

ROOT = "/client/v4/accounts/local/ai"
TURNS = [{"role": "user", "content": "Say hello"}]
MODEL_HEADER = "cf-consn-model-id"
FORWARDED = {"x-forwarded": "https://workers-binding.ai/run"}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where"}},
    "required": ["city"],
}
TOOL = {"name": "get_weather", "description": "The weather", "parameters": PARAMETERS}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'
CITY = '{"city": "Berlin"}'

ParsedRequest = tuple[str, dict[str, Any], dict[str, str]]
Ask = Callable[..., ParsedRequest]


def native(model: str = HF, **fields: Any) -> ParsedRequest:
    return f"{ROOT}/run/{model}", {"messages": TURNS, **fields}, {}


def named_in_body(model: str = HF, **fields: Any) -> ParsedRequest:
    return f"{ROOT}/run", {"model": model, "input": {"messages": TURNS, **fields}}, {}


def chat(model: str = HF, **fields: Any) -> ParsedRequest:
    return f"{ROOT}/v1/chat/completions", {"model": model, "messages": TURNS, **fields}, {}


def completion(model: str = HF, **fields: Any) -> ParsedRequest:
    return f"{ROOT}/v1/completions", {"model": model, "prompt": "Once", **fields}, {}


def response(model: str = HF, **fields: Any) -> ParsedRequest:
    return f"{ROOT}/v1/responses", {"model": model, "input": "Say hello", **fields}, {}


def message(model: str = HF, **fields: Any) -> ParsedRequest:
    body = {"model": model, "messages": TURNS, "max_tokens": 100, **fields}
    return f"{ROOT}/v1/messages", body, {}


def bound(path: str, more: dict[str, str]) -> Ask:
    def ask(model: str = HF, **fields: Any) -> ParsedRequest:
        return path, {"inputs": {"messages": TURNS, **fields}}, {MODEL_HEADER: model, **more}

    return ask


WAYS: dict[str, Ask] = {
    "native": native,
    "model in body": named_in_body,
    "chat": chat,
    "completion": completion,
    "response": response,
    "message": message,
    "binding": bound("/run", {}),
    "gateway": bound("/ai-gateway/run", {}),
    "proxy": bound(f"{ROOT}/run/proxy", FORWARDED),
}
TOOLS: dict[str, dict[str, Any]] = {
    "native": {"tools": [TOOL]},
    "binding": {"tools": [TOOL]},
    "chat": {"tools": [{"type": "function", "function": TOOL}]},
    "response": {"tools": [{"type": "function", **TOOL}]},
    "message": {"tools": [{"name": "get_weather", "input_schema": PARAMETERS}]},
}
JSON_MODE: dict[str, dict[str, Any]] = {
    "native": {"response_format": {"type": "json_schema", "json_schema": PARAMETERS}},
    "binding": {"response_format": {"type": "json_object"}},
    "chat": {"response_format": {"type": "json_object"}},
    "completion": {"response_format": {"type": "json_object"}},
    "response": {"text": {"format": {"type": "json_object"}}},
    "message": {"output_config": {"format": {"type": "json_schema", "schema": PARAMETERS}}},
}
LOGPROBS: dict[str, dict[str, Any]] = {
    "chat": {"logprobs": True, "top_logprobs": 2},
    "completion": {"logprobs": 2},
    "response": {"top_logprobs": 2},
}


class Broken(FakeEngine):
    """Fails in the middle."""

    async def generate(self, *args: Any, **options: Any) -> AsyncGenerator[Delta, None]:
        yield Delta("a", [1])
        raise RuntimeError("broken")


async def contract_of(served: Served) -> Contract:
    return Contract((await served.client.get("/openapi.json")).json())


@asynccontextmanager
async def promised(serving: AbstractAsyncContextManager[Served]) -> AsyncIterator[Callable[..., Any]]:
    """A function that sends what a way asks and holds the answer against the document."""
    async with serving as served:
        contract = await contract_of(served)

        async def send(asked: ParsedRequest, status: int, **options: Any) -> httpx.Response:
            path, body, headers = asked
            content = options or {"json": body}
            answer = await served.client.post(path, headers=headers, **content)
            assert answer.status_code == status, answer.text
            contract.check(answer)
            return answer

        yield send


async def test_answers_and_refusals_of_a_run(serve: Serve) -> None:
    long = "a " * 20_000
    async with promised(serve(limits={"max_body_bytes": 100_000})) as send:
        for way, ask in WAYS.items():
            await send(ask(), 200)
            await send(ask(stream=True), 200)
            await send(ask(max_tokens=2), 200)
            await send(ask("@cf/none/none"), 400)
            await send(ask(temperature=99), 400)
            await send(ask(lora="nobody"), 404)
            await send(ask(), 400, content=b"{")
            await send(ask(), 400, json=[])
            await send(ask(), 413, content=b" " * 200_000)
            await send(ask(CF, **_long(way, long)), 413)
    async with promised(serve(adapters=False)) as send:
        for ask in WAYS.values():
            await send(ask(lora="nobody"), 405)


def _long(way: str, text: str) -> dict[str, Any]:
    fields = {"completion": {"prompt": text}, "response": {"input": text}}
    return fields.get(way, {"messages": [{"role": "user", "content": text}]})


async def test_a_run_that_fails(serve: Serve) -> None:
    async with promised(serve(FakeEngine(start_s=60), wait_ready=False)) as send:
        for ask in WAYS.values():
            await send(ask(), 429)
    slow = FakeEngine(delay_s=0.2)
    async with promised(serve(slow, limits={"request_deadline_s": 0.1})) as send:
        for ask in WAYS.values():
            await send(ask(), 408)
            assert '"errors"' in (await send(ask(stream=True), 200)).text
    async with promised(serve(Broken())) as send:
        for ask in WAYS.values():
            await send(ask(), 500)
            assert '"errors"' in (await send(ask(stream=True), 200)).text


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_json_and_logprobs(serve: Serve, stream: bool) -> None:
    for engine, fields in ((FakeEngine(answer=CALL), TOOLS), (FakeEngine(answer=CITY), JSON_MODE)):
        async with promised(serve(engine)) as send:
            for way, more in fields.items():
                answer = await send(WAYS[way](stream=stream, **more), 200)
                assert "Berlin" in answer.text
    async with promised(serve()) as send:
        for way, more in LOGPROBS.items():
            answer = await send(WAYS[way](stream=stream, **more), 200)
            assert "-0.69" in answer.text
        for way, more in {} if stream else JSON_MODE.items():
            await send(WAYS[way](**more), 400)


async def test_catalogue_and_account(serve: Serve) -> None:
    async with serve() as served:
        contract = await contract_of(served)
        search = ("", "?page=9", "?format=openrouter", "?task=x", "?page=0", "?format=x", "?source=a")
        forwarded = "https://workers-binding.ai/ai-api/models/search"
        targets = {
            **{f"{ROOT}/models/search{query}": {} for query in search},
            **{f"/ai-api/models/search{query}": {} for query in search},
            **{f"{ROOT}/models/schema{query}": {} for query in ("", f"?model={HF}", "?model=x")},
            f"{ROOT}/tasks/search": {},
            f"{ROOT}/authors/search/": {},
            f"{ROOT}/v1/models": {},
            f"{ROOT}/v1/models/{HF}": {},
            f"{ROOT}/v1/models/@cf/none": {},
            **{f"/client/v4/accounts{query}": {} for query in ("", "?page=2", "?page=x")},
            **{f"/client/v4/memberships{query}": {} for query in ("", "?page=2", "?per_page=0")},
            "/client/v4/user": {},
            "/client/v4/user/tokens/verify": {},
            "/client/v4/accounts/local/tokens/verify": {},
            "/client/v4/accounts/nobody/tokens/verify": {},
            "/run": {},
            "/ai-gateway/run": {},
            f"{ROOT}/run/proxy": {"x-forwarded": forwarded},
            "/health": {},
            "/ready": {},
            f"{ROOT}/health": {},
            f"{ROOT}/v1/health": {},
            "/openapi.json": {},
        }
        for target, headers in targets.items():
            contract.check(await served.client.get(target, headers=headers))
        for header in (FORWARDED, {"x-forwarded": "https://workers-binding.ai/x"}, {}):
            contract.check(await served.client.get(f"{ROOT}/run/proxy", headers=header))
        described = {(path, method.lower()) for path, method in operations() if method == "GET"}
        no_success = {("/run", "get"), ("/ai-gateway/run", "get")}
        missing = {key for key in described - no_success if 200 not in contract.seen[key]}
        assert all("finetunes" in path for path, _ in missing), missing
    async with serve(FakeEngine(start_s=60), wait_ready=False) as served:
        contract = await contract_of(served)
        contract.check(await served.client.get("/ready"))
        assert contract.seen["/ready", "get"] == {503}


async def test_finetunes(settings: Settings, prompts: PromptBuilder, tmp_path: Path, serve: Serve) -> None:
    async with uploads_to(settings, prompts, tmp_path / "base", max_body_bytes=5000) as local:
        contract = await contract_of(local.served)

        async def call(status: int, method: str, path: str, **options: Any) -> None:
            answer = await local.call(method, path, **options)
            assert answer.status_code == status, answer.text
            contract.check(answer)

        new = {"model": HF, "name": "mine", "public": True}
        for status, body in ((200, new), (400, {**new, "name": "public"}), (400, {**new, "name": 1})):
            await call(status, "POST", local.path(), json=body)
        await call(400, "POST", local.path(), json={**new, "model": "x"})
        await call(400, "POST", local.path(), content=b"{")
        await call(413, "POST", local.path(), content=b" " * 6000)
        for status, content in _uploads():
            headers = {"content-type": CONTENT_TYPE}
            await call(
                status, "POST", local.path("mine", "/finetune-assets"), content=content, headers=headers
            )
        await call(404, "POST", local.path("nobody", "/finetune-assets"), content=b"")
        await call(200, "POST", local.path(), json={**new, "name": "unfinished"})
        for status, end in ((200, ""), (200, "/public"), (400, "?page=0"), (400, "/public?orderBy=x")):
            await call(status, "GET", local.path() + end)
        for status, named in ((200, "mine"), (200, "unfinished"), (404, "nobody")):
            await call(status, "GET", local.path(named))
        await call(200, "POST", f"{ROOT}/run/{HF}", json={"prompt": "a", "lora": "mine"})
        await call(400, "POST", f"{ROOT}/run/{HF}", json={"prompt": "a", "lora": "unfinished"})
        for status, named in ((200, "mine"), (404, "mine")):
            await call(status, "DELETE", local.path(named))
        one = "/client/v4/accounts/{account_id}/ai/finetunes/{finetune}"
        assert contract.seen[f"{one}/finetune-assets", "post"] == {200, 400, 404, 413}
        assert contract.seen[one, "delete"] == {200, 404}
    async with serve(adapters=False) as served:
        answer = await served.client.post(f"{ROOT}/finetunes", json=new)
        assert answer.status_code == 405
        (await contract_of(served)).check(answer)


async def test_uploads_that_are_refused_or_too_many(
    settings: Settings, prompts: PromptBuilder, tmp_path: Path
) -> None:
    data_dir = settings.server.data_dir
    async with uploads_to(settings, prompts, tmp_path / "base", max_uploads=1) as local:
        contract = await contract_of(local.served)
        await local.create("mine")
        async with local.connected("mine", 10_000) as (_, writer):
            writer.write(asset_start(CONFIG_FILE))
            await until(lambda: len(left_in(data_dir)) == 1)
            contract.check(await local.send("mine", CONFIG_FILE, b"{}"))
    async with uploads_to(settings, prompts, tmp_path / "base") as local:
        new = await local.create("wrong")
        await local.send(new, CONFIG_FILE, files_of(good())[CONFIG_FILE])
        contract.check(await local.send(new, WEIGHTS_FILE, b"x" * 100))
        contract.check(await local.call("GET", local.path(new)))
    async with uploads_to(settings, prompts, tmp_path / "base", min_free_bytes=2**60) as local:
        contract.check(await local.send(await local.create("full"), CONFIG_FILE, b"{}"))
    assert {429, 400, 507} in contract.seen.values()


def _uploads() -> Sequence[tuple[int, bytes]]:
    files = files_of(good())
    return (
        (400, b"x"),
        (400, asset_form("other.bin", b"x")),
        (413, asset_form(CONFIG_FILE, b"x" * 70_000)),
        (200, asset_form(CONFIG_FILE, files[CONFIG_FILE])),
        (200, asset_form(WEIGHTS_FILE, files[WEIGHTS_FILE])),
        (400, asset_form(CONFIG_FILE, files[CONFIG_FILE])),
    )


async def test_who_may_not(serve: Serve) -> None:
    """What is refused before any handler, on every operation."""
    async with serve() as served:
        contract = await contract_of(served)
        reader = served.stores.tokens.create("local", ["ai:read"])[1]
        for path, method in operations():
            target = path.replace("{account_id}", "local").replace("{model}", HF).replace("{finetune}", "x")
            tries = [(target, {"x-long": "x" * 70_000})]
            if path not in ("/health", "/ready"):
                tries.append((target, {"host": "elsewhere.example"}))
            if document_asks_for_a_token(contract, path, method):
                tries += [(target, {"authorization": text}) for text in ("", "Bearer unknown")]
            if "{account_id}" in path:
                tries.append((target.replace("local", "no!id"), {}))
            if document_asks_for_a_token(contract, path, method) == "ai:write":
                tries.append((target, {"authorization": f"Bearer {reader}"}))
            for where, headers in tries:
                answer = await served.client.request(method, where, headers=headers)
                assert answer.status_code in (400, 401, 403, 404, 421, 431), (method, where)
                contract.check(answer)
    statuses = set().union(*contract.seen.values())
    assert statuses == {400, 401, 403, 404, 421, 431}


def document_asks_for_a_token(contract: Contract, path: str, method: str) -> str:
    """The scope that the operation takes, empty where it is open."""
    security = contract.document["paths"][path][method.lower()]["security"]
    return str(security[0]["bearer"][0]) if security else ""
