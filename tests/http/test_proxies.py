"""Behind real proxies: nobody's request is caused by another's body, and their probes see a server that is up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from tests.conftest import HF, Serve, Served
from tests.http.proxies import caddy, haproxy, haproxy_state, nginx, nginx_unbuffered

pytestmark = pytest.mark.anyio

Proxy = Callable[..., AbstractContextManager[int]]
PROXIES = [nginx, nginx_unbuffered, haproxy, caddy]
TIMES = 200
PADDING = 10_000  # so many bytes that a proxy sends them behind the head, not with it


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as server:
        yield server


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


async def up(client: httpx.AsyncClient) -> None:
    """Until the proxy listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.get("/health")
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def say(port: int, head: bytes, body: bytes) -> None:
    """What a stranger sends: the head, the body in packets of its own, and it waits for the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.write(body)
    try:
        async with asyncio.timeout(5):
            await writer.drain()
            await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


def attack(path: str, upgrade: bytes) -> tuple[bytes, bytes]:
    """A head without a token, and a body that begins the deletion of somebody's adapter and lacks only a token.

    Empty lines come first: wherever a packet begins among them, the deletion is what a server would take for a request.
    """
    body = b"\r\n" * PADDING + f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\nX-Rest: ".encode()
    head = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n" % len(body)
    return head + upgrade + b"\r\n", body


UPGRADES = (
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    b"Connection: keep-alive, upgrade\r\nUpgrade: x\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
)


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_strangers_body_is_nobodys_request(
    served: Served, proxy: Proxy, tmp_path: Path, times: Callable[[int], int]
) -> None:
    """The victim's own token must not delete the victim's adapter because of what a stranger sent before."""
    _, token = served.stores.tokens.create("victim", ["ai:write"])
    headers = {"authorization": f"Bearer {token}"}
    finetunes = "/client/v4/accounts/victim/ai/finetunes"
    with proxy(tmp_path, port_of(served)) as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as victim:
            await up(victim)
            created = await victim.post(finetunes, json={"model": HF, "name": "mine"})
            path = f"{finetunes}/{created.json()['result']['id']}"
            for upgrade in UPGRADES:
                for _ in range(times(TIMES)):
                    await say(port, *attack(path, upgrade))
                    listed = await victim.get(finetunes)
                    assert [item["name"] for item in listed.json()["result"]] == ["mine"]


@pytest.mark.parametrize("proxy", PROXIES)
async def test_an_upgrade_through_a_proxy_is_answered_with_its_body(
    served: Served, proxy: Proxy, tmp_path: Path
) -> None:
    with proxy(tmp_path, port_of(served)) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await up(client)
            headers = {
                "authorization": f"Bearer {served.token}",
                "connection": "Upgrade, HTTP2-Settings",
                "upgrade": "h2c",
                "http2-settings": "AAMAAABkAAQAoAAAAAIAAAAA",
            }
            for _ in range(3):
                answer = await client.post(served.path(), json={"prompt": "a"}, headers=headers)
                assert (answer.status_code, answer.json()["success"]) == (200, True)


CHECKS = {
    "HTTP/1.0, as HAProxy has it": "option httpchk",
    "HTTP/1.0": "option httpchk GET /health",
    "readiness": "option httpchk GET /ready",
    "HTTP/1.1 and an address": (
        "option httpchk\n    http-check send meth GET uri /ready ver HTTP/1.1 hdr Host 10.1.2.3:8788"
    ),
    "HEAD": "option httpchk HEAD /health",
}


@pytest.mark.parametrize("check", CHECKS)
async def test_haproxys_own_check_sees_a_server_that_is_up(
    served: Served, check: str, tmp_path: Path
) -> None:
    with haproxy(tmp_path, port_of(served), check=CHECKS[check]) as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await up(client)
            async with asyncio.timeout(10):
                while (state := haproxy_state(tmp_path)).startswith("UP 1/") or "/" in state:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)  # three checks more
            assert haproxy_state(tmp_path) == "UP"
            assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize("proxy", [nginx, caddy])
async def test_a_probe_through_a_proxy_that_names_its_upstream(
    served: Served, proxy: Proxy, tmp_path: Path
) -> None:
    """nginx sends `Host: outworker` unless it is told otherwise."""
    with proxy(tmp_path, port_of(served), host="outworker") as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            await up(client)
            assert (await client.get("/ready")).status_code == 200
            assert (await client.get("/openapi.json")).status_code == 421
