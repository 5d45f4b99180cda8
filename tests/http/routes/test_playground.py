"""app/http/routes/playground.py: the page's files, and what a one-time code gives."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from app.http.routes.playground import TOKEN_PATH, WEB
from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

PLATFORM_KEYS = ["result", "success", "errors", "messages"]


async def test_every_file_has_its_type_and_the_policy(serve: Serve) -> None:
    types = {".html": "text/html", ".js": "javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    async with serve() as served:
        del served.client.headers["authorization"]
        for path in (path for path in WEB.rglob("*") if path.is_file()):
            answer = await served.client.get(f"/playground/{path.relative_to(WEB)}")
            assert answer.content == path.read_bytes()
            assert types[path.suffix] in answer.headers["content-type"]
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await served.client.get("/")).content == (WEB / "index.html").read_bytes()


async def test_a_browser_keeps_files_and_asks_whether_they_changed(serve: Serve) -> None:
    async with serve() as served:
        first = await served.client.get("/playground/main.js")
        again = await served.client.get(
            "/playground/main.js", headers={"if-none-match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["cache-control"] == again.headers["cache-control"] == "no-cache"
        head = await served.client.head("/")
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/playground/", "/playground/../server.py", "/playground/%2e%2e/server.py", "/web/main.js"]
)
async def test_nothing_else_has_a_path(serve: Serve, path: str) -> None:
    async with serve() as served:
        del served.client.headers["authorization"]
        answer = await served.client.get(path)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 9106)


async def test_no_file_of_the_page_names_another_host(serve: Serve) -> None:
    """Nothing is loaded from elsewhere: the only address in the files is the namespace of SVG."""
    for path in (path for path in WEB.rglob("*") if path.is_file()):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert re.search(r"//[a-z0-9-]+\.[a-z]", text) is None, path
        assert all(
            word not in text
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
        )
        assert "http://" not in text.replace("http://127.0.0.1:8788", ""), path
        assert "https://" not in text, path


async def test_a_code_gives_the_token_once(serve: Serve) -> None:
    async with serve() as served:
        code = served.stores.page_codes.make()
        answer = await exchange(served, {"code": code})
        assert answer.status_code == 200
        assert answer.json()["result"] == {"account_id": "local", "token": served.token}
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        refused(await exchange(served, {"code": code}), served)


async def test_of_many_that_send_one_code_one_gets_the_token(serve: Serve) -> None:
    async with serve() as served:
        code = served.stores.page_codes.make()
        answers = await asyncio.gather(*(exchange(served, {"code": code}) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


@pytest.mark.parametrize(
    "body",
    [{}, [], None, "text", {"code": None}, {"code": 1}, {"code": ""}, {"code": "x" * 43}, {"code": "é" * 43}],
)
async def test_without_a_code_that_works_there_is_no_token(serve: Serve, body: Any) -> None:
    async with serve() as served:
        served.stores.page_codes.make()
        refused(await exchange(served, body), served)


@pytest.mark.parametrize("content", [b"", b"{", b"code=x", b"\xff"])
async def test_bodies_that_are_not_json(serve: Serve, content: bytes) -> None:
    async with serve() as served:
        answer = await served.client.post(TOKEN_PATH, content=content)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 3003)


async def test_a_body_too_large_for_a_code(serve: Serve) -> None:
    async with serve() as served:
        assert (await served.client.post(TOKEN_PATH, content=b" " * 2000)).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
        {"x-forwarded-for": "203.0.113.7"},
    ],
)
async def test_no_place_in_the_network_stands_for_a_code(serve: Serve, headers: dict[str, str]) -> None:
    """The server's own page, user and machine, as a proxy, a tunnel or a program beside it can claim to be them."""
    async with serve() as served:
        served.client.headers.pop("authorization", None)
        for port in (served.url.rpartition(":")[2], "80", "8788"):
            for host in ("127.0.0.1", "localhost"):
                own = {
                    "host": f"{host}:{port}",
                    "origin": f"http://{host}:{port}",
                    "sec-fetch-site": "same-origin",
                }
                refused(await exchange(served, {}, **{**own, **headers}), served)


async def test_a_code_works_wherever_the_server_listens(serve: Serve) -> None:
    """It is a secret of its own, so a page on another machine may have it."""
    async with serve(server={"host": "0.0.0.0"}) as served:
        answer = await exchange(served, {"code": served.stores.page_codes.make()})
        assert answer.status_code == 200


async def test_another_site_can_t_read_the_answer(serve: Serve) -> None:
    async with serve() as served:
        code = served.stores.page_codes.make()
        answer = await exchange(served, {"code": code}, origin="http://evil.example")
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_every_method_but_post(serve: Serve) -> None:
    async with serve() as served:
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            answer = await served.client.request(method, TOKEN_PATH)
            assert answer.json()["errors"][0]["code"] == 7001, method


async def test_without_a_playground_there_is_nothing(serve: Serve) -> None:
    async with serve(server={"playground": False}) as served:
        for path in ("/", "/playground/main.js"):
            assert (await served.client.get(path)).json()["errors"][0]["code"] == 7000
        answer = await exchange(served, {"code": served.stores.page_codes.make()})
        assert answer.json()["errors"][0]["code"] == 7000


async def exchange(served: Served, body: Any, **headers: str) -> httpx.Response:
    return await served.client.post(TOKEN_PATH, content=json.dumps(body), headers=headers)


def refused(answer: httpx.Response, served: Served) -> None:
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 10000)
    assert "outworker page" in answer.json()["errors"][0]["message"]
    assert list(answer.json()) == PLATFORM_KEYS
    assert served.token not in answer.text
