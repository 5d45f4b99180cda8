"""Every route's methods: HEAD where GET is, and what a 405 names (RFC 9110, 9.3.2 and 15.5.6)."""

import asyncio

import httpx
import pytest

from tests.conftest import HF, Serve, Served
from tests.http.routes.test_compatible_apis import ROOT

pytestmark = pytest.mark.anyio

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def targets(served: Served) -> set[str]:
    """A path of every route."""
    names = {"{account_id}": "local", "{model:model_name}": HF, "{finetune}": "none"}
    paths = set()
    for route in served.app.routes:
        path = route.path.replace("{model:model_to_run}", HF)
        for name, value in names.items():
            path = path.replace(name, value)
        paths.add(path)
    return paths


def allowed(answer: httpx.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


async def test_a_405_names_the_methods_that_are_not_answered_so(serve: Serve) -> None:
    async with serve() as served:
        for path in targets(served):
            answers = {method: await served.client.request(method, path) for method in METHODS}
            refused = {method for method, answer in answers.items() if answer.status_code == 405}
            assert refused
            for method in refused:
                assert allowed(answers[method]) == set(METHODS) - refused, (method, path)
            assert all(
                "allow" not in answers[method].headers for method in METHODS[:6] if method not in refused
            )


async def test_whoever_has_no_token_learns_no_methods(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.client.put(f"{ROOT}/models", headers={"authorization": "Bearer x"})
        assert answer.status_code == 401
        assert "allow" not in answer.headers


async def test_head_is_get_without_its_body(serve: Serve) -> None:
    """Status and headers, an error's too, but for what is new with each request."""
    async with serve() as served:
        for path in targets(served):
            got = await served.client.get(path)
            head = await served.client.head(path)
            assert head.content == b""
            if got.status_code == 405:
                assert head.status_code == 405
                continue
            assert head.status_code == got.status_code, path
            changing = {"date", "cf-ai-req-id"}
            assert {**head.headers, **dict.fromkeys(changing, "")} == {
                **got.headers,
                **dict.fromkeys(changing, ""),
            }
            assert int(head.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize(
    "path", [f"{ROOT}/models", f"{ROOT}/models/nothing", "/health", "/", f"{ROOT}/nothing"]
)
async def test_nothing_follows_the_head_on_the_wire(serve: Serve, path: str) -> None:
    async with serve() as served:
        request = f"{{}} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {served.token}\r\n"
        sent = request.format("HEAD") + "\r\n" + request.format("GET") + "connection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(sent.encode())
        async with asyncio.timeout(5):
            answers = await reader.read()
        writer.close()
        first, second, body = answers.split(b"\r\n\r\n", 2)
        assert first.startswith(b"HTTP/1.1 ")
        assert second.startswith(first.split(b"\r\n")[0])
        assert f"content-length: {len(body)}".encode() in first
        assert f"content-length: {len(body)}".encode() in second


async def test_pages_of_named_origins_may_ask_for_heads(serve: Serve) -> None:
    origin = "https://page.example"
    async with serve(server={"cors_origins": (origin,)}) as served:
        asked = {"origin": origin, "access-control-request-method": "HEAD"}
        answer = await served.client.options(f"{ROOT}/models", headers=asked)
        assert answer.status_code == 200


async def test_connect_has_no_methods_at_all(serve: Serve) -> None:
    async with serve() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n")
        async with asyncio.timeout(5):
            head = (await reader.read()).partition(b"\r\n\r\n")[0]
        writer.close()
        assert head.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nallow: \r\n" in head + b"\r\n"
