"""A browser that came by another name reads what to do; programs get the envelope, and nothing of it runs."""

import pytest

from tests.conftest import Serve

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("192.0.2.7:8901", "192.0.2.7"),
        ("box.lan", "box.lan"),
        ("[fd00::7]:8788", "fd00::7"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("{host}{0}%s", "{host}{0}%s"),
        ("a" * 400, "a" * 100),
    ],
)
async def test_a_browser_reads_what_to_do(serve: Serve, host: str, name: str) -> None:
    async with serve() as served:
        for path in ("/", "/client/v4/user/tokens/verify", "/nowhere"):
            answer = await served.client.get(path, headers={"host": host, "accept": BROWSER})
            assert answer.status_code == 421
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert f"ALLOWED_HOSTS={name} make serve" in answer.text
            assert "<script" not in answer.text
            assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.anyio
@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_a_program_gets_the_envelope(serve: Serve, accept: str) -> None:
    async with serve() as served:
        answer = await served.client.get("/", headers={"host": "box.lan", "accept": accept})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (421, 7004)
        posted = await served.client.post("/", headers={"host": "box.lan", "accept": BROWSER}, json={})
        assert posted.json()["errors"][0]["code"] == 7004


@pytest.mark.anyio
async def test_json_ends_a_line(serve: Serve) -> None:
    async with serve() as served:
        for path in ("/health", "/ready", "/nowhere", served.path()):
            answer = await served.client.get(path)
            assert answer.content.endswith(b"}\n")
            assert int(answer.headers["content-length"]) == len(answer.content)
