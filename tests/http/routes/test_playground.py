"""app/http/routes/playground.py: the page's files, and who gets the development token."""

import asyncio
import os
import re
import subprocess
from typing import Any

import httpx
import pytest

from app.http.routes.playground import TOKEN_PATH, WEB
from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

NOBODY = 65534
PLATFORM_KEYS = ["result", "success", "errors", "messages"]


def of_the_page(served: Served, **more: str) -> dict[str, str]:
    """What a browser sends with a fetch of the page's own."""
    return {"origin": served.url, "sec-fetch-site": "same-origin", **more}


async def ask(served: Served, headers: dict[str, str]) -> httpx.Response:
    served.client.headers.pop("authorization", None)
    return await served.client.post(TOKEN_PATH, headers=headers)


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


async def test_the_page_gets_the_token_on_loopback(serve: Serve) -> None:
    async with serve() as served:
        answer = await ask(served, of_the_page(served))
        assert answer.status_code == 200
        assert answer.json()["result"] == {"account_id": "local", "token": served.token}
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"origin": ""},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "https://127.0.0.1"},
        {"host": "[::1", "origin": "http://[::1"},
        {"host": "127.0.0.1:1", "origin": "http://127.0.0.1:1"},
        {"host": "127.0.0.1", "origin": "http://127.0.0.1"},
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-host": "127.0.0.1"},
        {"X-Forwarded-Proto": "http"},
        {"forwarded": "for=127.0.0.1"},
        {"via": "1.1 proxy"},
        {"x-real-ip": "127.0.0.1"},
    ],
)
async def test_nobody_else_gets_it(serve: Serve, headers: dict[str, str]) -> None:
    async with serve() as served:
        sent = {**of_the_page(served), **headers} if headers else {}
        answer = await ask(served, {name: value for name, value in sent.items() if value})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 9106)
        assert list(answer.json()) == PLATFORM_KEYS
        assert served.token not in answer.text


async def test_a_name_that_is_not_loopback_gets_none(serve: Serve) -> None:
    """As behind a tunnel or a proxy that says nothing of itself: the page's address is then a public one."""
    async with serve(server={"allowed_hosts": ("playground.example", "127.0.0.1")}) as served:
        headers = {
            "host": "playground.example",
            "origin": "http://playground.example",
            "sec-fetch-site": "same-origin",
        }
        assert (await ask(served, headers)).status_code == 400


async def test_every_method_but_post_asks_for_a_token(serve: Serve) -> None:
    async with serve() as served:
        assert (await served.client.get(TOKEN_PATH)).json()["errors"][0]["code"] == 7001
        del served.client.headers["authorization"]
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = await served.client.request(method, TOKEN_PATH, headers=of_the_page(served))
            assert answer.status_code == 400, method


@pytest.mark.parametrize(("host", "page"), [("0.0.0.0", 200), ("127.0.0.1", 200)])
async def test_a_server_that_others_reach_hands_out_none(serve: Serve, host: str, page: int) -> None:
    async with serve(server={"host": host}) as served:
        assert (await served.client.get("/")).status_code == page
        answer = await ask(served, of_the_page(served))
        assert (answer.status_code == 200) is (host == "127.0.0.1")


async def test_without_a_playground_there_is_nothing(serve: Serve) -> None:
    async with serve(server={"playground": False}) as served:
        for path in ("/", "/playground/main.js"):
            assert (await served.client.get(path)).json()["errors"][0]["code"] == 7000
        assert (await ask(served, of_the_page(served))).status_code == 400


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
async def test_another_user_of_the_machine_gets_none(serve: Serve) -> None:
    async with serve() as served:
        own, other = [await curl(served, user) for user in (None, NOBODY)]
    assert served.token in own
    assert "9106" in other
    assert served.token not in other


async def curl(served: Served, user: int | None) -> str:
    """What a program of `user` gets that sends a page's headers."""
    headers = [f"-H{name}: {value}" for name, value in of_the_page(served).items()]
    command = ["curl", "-sS", "-X", "POST", *headers, served.url + TOKEN_PATH]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 30, "cwd": "/"}
    done = await asyncio.to_thread(subprocess.run, command, user=user, check=False, **options)
    return str(done.stdout + done.stderr)
