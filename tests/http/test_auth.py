"""app/http/auth.py and the errors before the model layer, over a real socket."""

import asyncio
from typing import Any

import pytest
from starlette.routing import Route

from app.http.routes.playground import TOKEN_PATH
from app.settings import CHECKOUT
from tests.conftest import HF, Serve

pytestmark = pytest.mark.anyio

WEB = CHECKOUT / "app" / "web"
PAGE = {f"/playground/{path.relative_to(WEB)}" for path in WEB.rglob("*") if path.is_file()}
OPEN = {"/health", "/ready", "/openapi.json", "/", *PAGE}
PLATFORM_KEYS = ["result", "success", "errors", "messages"]


def refusal_code(body: dict[str, Any]) -> int:
    """In the envelope, or in the shape of the env.AI binding."""
    return int(body["internalCode"] if "internalCode" in body else body["errors"][0]["code"])


async def test_every_route_but_the_open_ones_asks_for_a_token(serve: Serve) -> None:
    async with serve() as served:
        del served.client.headers["authorization"]
        paths = [route.path for route in served.app.routes if isinstance(route, Route)]
        assert set(paths) >= OPEN
        for path in [*paths, "/nowhere", "/client/v4/accounts/local/nothing"]:
            target = path.replace("{account_id}", "local").replace("{model:model_name}", HF)
            for method in ("GET", "POST", "PUT", "DELETE"):
                answer = await served.client.request(method, target, json={"prompt": "a"})
                if path in OPEN:
                    assert answer.status_code in (200, 405)
                    continue
                if path == TOKEN_PATH:  # a one-time code is what it takes
                    assert answer.status_code == (401 if method == "POST" else 405)
                    continue
                assert (answer.status_code, refusal_code(answer.json())) == (400, 9106), target


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, 9106),
        ({"authorization": ""}, 400, 9106),
        ({"authorization": "Basic abc"}, 400, 9106),
        ({"authorization": "Bearer"}, 400, 9106),
        ({"authorization": "Bearer a b"}, 400, 9106),
        ({"authorization": "Bearer unknown"}, 401, 10000),
        ({"authorization": "Bearer " + "x" * 600}, 400, 9106),
        ({"x-auth-key": "unknown", "x-auth-email": "a@b"}, 401, 10000),
        ({"x-auth-key": "unknown"}, 400, 9106),
        ({"x-api-key": "unknown"}, 401, 10000),
        ({"x-api-key": ""}, 400, 9106),
    ],
)
async def test_bad_credentials(serve: Serve, headers: dict[str, str], status: int, code: int) -> None:
    async with serve() as served:
        del served.client.headers["authorization"]
        answer = await served.run({"prompt": "a"}, headers=headers)
        body = answer.json()
        assert (answer.status_code, body["errors"][0]["code"]) == (status, code)
        assert list(body) == PLATFORM_KEYS
        assert body["result"] is None
        assert "cf-ai-req-id" not in answer.headers


async def test_key_and_email_work_as_a_token(serve: Serve) -> None:
    async with serve() as served:
        del served.client.headers["authorization"]
        headers = {"x-auth-key": served.token, "x-auth-email": "someone@example.com"}
        assert (await served.run({"prompt": "a"}, headers=headers)).status_code == 200


async def test_an_api_key_is_a_token_where_nothing_else_is_sent(serve: Serve) -> None:
    async with serve() as served:
        both = await served.run({"prompt": "a"}, headers={"x-api-key": "unknown"})
        assert both.status_code == 200
        del served.client.headers["authorization"]
        assert (await served.run({"prompt": "a"}, headers={"x-api-key": served.token})).status_code == 200


async def test_a_token_serves_its_own_account_only(serve: Serve) -> None:
    async with serve() as served:
        for account, status, code in (("other", 401, 10000), ("bad id!", 404, 7003), ("a" * 65, 404, 7003)):
            answer = await served.client.post(served.path(account=account), json={"prompt": "a"})
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_a_revoked_token_stops_within_a_second(serve: Serve) -> None:
    async with serve() as served:
        token_id, token = served.stores.tokens.create("local", ["ai:read"])
        headers = {"authorization": f"Bearer {token}"}
        assert (await served.run({"prompt": "a"}, headers=headers)).status_code == 200
        served.stores.tokens.revoke(token_id)
        await asyncio.sleep(1)
        assert (await served.run({"prompt": "a"}, headers=headers)).status_code == 401


async def test_unknown_paths_and_methods(serve: Serve) -> None:
    async with serve() as served:
        for method, path, status, code in (
            ("GET", "/nowhere", 400, 7000),
            ("POST", "/client/v4/nothing", 400, 7000),
            ("POST", "/client/v4/accounts/local/ai/nothing", 404, 7003),
            ("GET", served.path(), 405, 7001),
            ("PUT", "/client/v4/accounts/local/ai/run", 405, 7001),
            ("POST", "/health", 405, 7001),
        ):
            answer = await served.client.request(method, path)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code), path


async def test_another_host_name_is_refused(serve: Serve) -> None:
    async with serve() as served:
        for host, status in (("evil.example", 421), ("localhost:1", 200), ("[::1]:80", 200), ("", 421)):
            answer = await served.client.get("/openapi.json", headers={"host": host})
            assert answer.status_code == status, host


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_probes_may_name_any_host_or_none(serve: Serve, path: str) -> None:
    async with serve() as served:
        for host in ("10.1.2.3", "10.1.2.3:8788", "[fe80::1]", "evil.example", "", "outworker_upstream"):
            for method in ("GET", "HEAD", "OPTIONS"):
                answer = await served.client.request(method, path, headers={"host": host})
                assert answer.status_code in (200, 204), (host, method)
        for request in (f"GET {path}", f"HEAD {path}", f"OPTIONS {path}", "OPTIONS /", "OPTIONS *"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
            writer.write(f"{request} HTTP/1.0\r\n\r\n".encode())
            async with asyncio.timeout(5):
                answer_line = (await reader.read()).split(b"\r\n")[0]
            writer.close()
            assert answer_line in (b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content"), request


async def test_any_host_where_the_settings_say_so(serve: Serve) -> None:
    async with serve(server={"allowed_hosts": ("*",)}) as served:
        for host in ("evil.example", "10.1.2.3:80", ""):
            assert (await served.client.get("/openapi.json", headers={"host": host})).status_code == 200
