"""Every way to fail below `/ai/v1`, over a real socket: the envelope, and beside it the error of the client's API."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import orjson
import pytest
from anthropic.types.shared.error_object import ErrorObject as AnthropicObject
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter

from app.engines.fake import FakeEngine
from app.types import Delta
from tests.conftest import CF, HF, Serve, Served
from tests.http.routes.test_compatible_apis import BODIES, HELLO, ROOT, data_of

pytestmark = pytest.mark.anyio

ANTHROPIC = {"anthropic-version": "2023-06-01"}
NOWHERE = ("models/@cf/none", "nothing", "v1/chat/completions", "", "chat/completions/x")
LONG = {
    "completions": {"prompt": "a " * 20_000},
    "responses": {"input": "a " * 20_000},
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
FORMATS: dict[str, dict[str, Any]] = {
    "chat/completions": {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}},
    "completions": {"response_format": {"type": "json_object"}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "city", "schema": CITY}}},
    "messages": {"output_config": {"format": {"type": "json_schema", "schema": CITY}}},
}


class Broken(FakeEngine):
    """Fails in the middle."""

    async def generate(self, *args: Any, **options: Any) -> AsyncGenerator[Delta, None]:
        yield Delta("a", [1])
        raise RuntimeError("broken")


def check(answer: httpx.Response, status: int, openai: str, anthropic: str, *, messages: bool) -> None:
    """The envelope's four fields, and the error as that API's own package has it."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert {"result", "success", "errors", "messages"} <= body.keys()
    assert (body["success"], body["messages"]) == (False, [])
    (item,) = body["errors"]
    assert body["message"] == body["error"]["message"] == item["message"]
    if messages:
        TypeAdapter(AnthropicObject).validate_python(body["error"], strict=True, extra="forbid")
        assert (body["type"], body["error"]["type"]) == ("error", anthropic)
        assert len(body["request_id"]) == 36
    else:
        ErrorObject.model_validate(body["error"], strict=True, extra="forbid")
        assert body["error"].keys() == {"message", "type", "param", "code"}
        assert body["error"]["type"] == openai
        assert "type" not in body


async def fails(
    served: Served, path: str, status: int, openai: str, anthropic: str = "", /, **options: Any
) -> None:
    """`anthropic` is the type where it differs from OpenAI's."""
    options = {"method": "POST", "json": BODIES.get(path), **options}
    answer = await served.client.request(options.pop("method"), f"{ROOT}/{path}", **options)
    messages = "/ai/v1/messages" in answer.url.path or "anthropic-version" in options.get("headers", {})
    check(answer, status, openai, anthropic or openai, messages=messages)


@pytest.mark.parametrize("path", BODIES)
async def test_what_is_wrong_with_the_request(serve: Serve, path: str) -> None:
    body = BODIES[path]
    invalid = "invalid_request_error"
    long = LONG.get(path, {"messages": [{"role": "user", "content": "a " * 20_000}]})
    async with serve(limits={"max_body_bytes": 100_000}) as served:
        await fails(served, path, 400, invalid, "not_found_error", json={**body, "model": "@cf/none"})
        await fails(served, path, 404, invalid, "not_found_error", json={**body, "model": f"{HF}:nobody"})
        await fails(served, path, 404, invalid, "not_found_error", json={**body, "lora": "nobody"})
        await fails(served, path, 400, invalid, json={**body, "temperature": 6})
        await fails(served, path, 400, invalid, json={})
        await fails(served, path, 400, invalid, json=[])
        await fails(served, path, 400, invalid, json=None, content=b"{'a'")
        await fails(served, path, 413, invalid, json=None, content=b" " * 200_000)
        await fails(served, path, 413, invalid, json={**body, **long, "model": CF})
        for method in ("GET", "PUT", "DELETE", "PATCH"):
            await fails(served, path, 405, invalid, method=method, json=None)
        await fails(served, path, 421, invalid, headers={"host": "elsewhere.example"})


@pytest.mark.parametrize("path", [*BODIES, "models", *NOWHERE])
async def test_who_may_not_ask(serve: Serve, path: str) -> None:
    method = "POST" if path in BODIES else "GET"
    async with serve() as served:
        del served.client.headers["authorization"]
        for status, header in ((401, "Bearer nobody"), (400, "Basic a"), (400, None)):
            headers = {} if header is None else {"authorization": header}
            await fails(served, path, status, "authentication_error", method=method, headers=headers)
        await fails(served, path, 401, "authentication_error", method=method, headers={"x-api-key": "nobody"})
        if path in NOWHERE:
            return  # whose account it would be is not looked at
        elsewhere = f"../../../other/ai/v1/{path}"
        headers = {"authorization": f"Bearer {served.token}"}
        await fails(served, elsewhere, 401, "authentication_error", method=method, json=None, headers=headers)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_what_is_not_there(serve: Serve, method: str) -> None:
    async with serve() as served:
        for path in ("nothing", "v1/chat/completions", "", "chat/completions/x", "messages/batches"):
            for headers in ({}, ANTHROPIC):
                openai = "invalid_request_error"
                await fails(served, path, 404, openai, "not_found_error", method=method, headers=headers)
        await fails(served, "models/@cf/none", 400, "invalid_request_error", method="GET")
        await fails(served, "models/x", 400, "", "not_found_error", method="GET", headers=ANTHROPIC)
        await fails(served, "models", 405, "invalid_request_error", method="POST")


@pytest.mark.parametrize("path", BODIES)
async def test_a_base_url_with_a_slash_at_its_end(serve: Serve, path: str) -> None:
    async with serve() as served:
        for doubled in (ROOT.replace("/ai/", "/ai//"), f"{ROOT}/", ROOT.replace("/ai/", "//ai/")):
            target = served.url + f"{doubled}/{path}"
            answer = await served.client.post(target, json=BODIES[path])
            check(answer, 404, "invalid_request_error", "not_found_error", messages=path == "messages")


@pytest.mark.parametrize("path", BODIES)
async def test_what_the_server_can_not_do(serve: Serve, path: str) -> None:
    body = BODIES[path]
    async with serve(FakeEngine(start_s=60), wait_ready=False) as served:
        await fails(served, path, 429, "rate_limit_error", "overloaded_error")
    async with serve(FakeEngine(delay_s=0.2), limits={"request_deadline_s": 0.1}) as served:
        await fails(served, path, 408, "timeout_error")
    async with serve(Broken()) as served:
        await fails(served, path, 500, "server_error", "api_error")
    async with serve() as served:
        await fails(served, path, 400, "invalid_request_error", json={**body, **FORMATS[path]})
    async with serve(adapters=False) as served:
        await fails(served, path, 405, "invalid_request_error", json={**body, "lora": "x"})


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("fault", ["timeout", "broken", "json"])
async def test_inside_a_stream(serve: Serve, path: str, fault: str) -> None:
    """One last event: the dialect's own where it has one, and what the packages raise."""
    engine = {"broken": Broken(), "timeout": FakeEngine(endless=True, delay_s=0.005)}.get(fault, FakeEngine())
    openai, anthropic, code = {
        "timeout": ("timeout_error", "timeout_error", 3007),
        "broken": ("server_error", "api_error", 3043),
        "json": ("invalid_request_error", "invalid_request_error", 5024),
    }[fault]
    more = FORMATS[path] if fault == "json" else {}
    async with serve(engine, limits={"request_deadline_s": 0.1 if fault == "timeout" else 30}) as served:
        body = {**BODIES[path], **more, "stream": True}
        answer = await served.client.post(f"{ROOT}/{path}", json=body)
    last = orjson.loads(data_of(answer.text)[-1])
    assert last["errors"][0]["code"] == code
    assert last["error"]["message"] == last["errors"][0]["message"]
    assert last["error"]["type"] == (anthropic if path == "messages" else openai)
    assert answer.text.count("event: error\n") == (path in ("messages", "responses"))
    if path == "messages":
        assert last["type"] == "error"
    if path == "responses":
        assert last["type"] == "error"
        assert last["sequence_number"] == len(data_of(answer.text)) - 1
        assert last["message"] == last["error"]["message"]


async def test_elsewhere_the_envelope_stands_alone(serve: Serve) -> None:
    async with serve() as served:
        for path in (
            f"/client/v4/accounts/local/ai/run/{HF}",
            "/client/v4/accounts/local/ai/v12",
            "/nothing",
        ):
            answer = await served.client.post(
                path, json={"messages": HELLO, "max_tokens": "x"}, headers=ANTHROPIC
            )
            assert answer.json().keys() == {"result", "success", "errors", "messages"}, path


FRAMING = {
    b"Host: x\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
    b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": 400,
    b"Host: x\r\nContent-Length: a\r\n\r\n": 400,
    b"Host: x\r\nHost: y\r\n\r\n": 400,
    b"X-Long: " + b"x" * 70_000: 431,
    b"X-Long: " + b"x" * 70_000 + b"\r\n\r\n": 431,
}


@pytest.mark.parametrize("rest", FRAMING, ids=lambda rest: rest[:40].decode())
async def test_bytes_that_are_no_request_to_a_path_that_is_known(serve: Serve, rest: bytes) -> None:
    wanted = {"messages": "type", "chat/completions": "error", "models?x=1": "error", "/": None}
    async with serve() as served:
        for path, key in wanted.items():
            target = f"{ROOT}/{path}" if path != "/" else f"/client/v4/accounts/local/ai/run/{HF}"
            reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
            writer.write(f"POST {target} HTTP/1.1\r\n".encode() + rest)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 %d " % FRAMING[rest]), (path, head)
            found = orjson.loads(body)
            assert found["errors"][0]["message"]
            assert {"type", "error", "request_id"} <= found.keys() if key == "type" else "type" not in found
            assert ("error" in found) == (key is not None)


@pytest.mark.parametrize(
    "line", ["POST {} HTTP/3.0\r\n", "post {} HTTP/1.1\r\n", "POST {} HTTP/1.1\n", "POST  {}\r\n"]
)
async def test_a_line_that_is_no_requests_to_a_path_that_is_known(serve: Serve, line: str) -> None:
    async with serve() as served:
        for path, key in {"messages": "type", "chat/completions": "error"}.items():
            reader, writer = await asyncio.open_connection(*served.url.removeprefix("http://").split(":"))
            writer.write(line.format(f"{ROOT}/{path}").encode() + b"Host: 127.0.0.1\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            assert head.startswith(b"HTTP/1.1 400 "), (path, head)
            assert {key, "error"} <= orjson.loads(body).keys()
