"""Web pages of other origins: let in only where the settings name them, errors included."""

import pytest

from tests.conftest import Serve

pytestmark = pytest.mark.anyio

ORIGIN = "http://app.example:3000"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


async def test_none_by_default(serve: Serve) -> None:
    async with serve() as served:
        preflight = await served.client.options(served.path(), headers=PREFLIGHT)
        assert preflight.status_code == 405
        answer = await served.run({"prompt": "a"}, headers={"origin": ORIGIN})
        assert "access-control-allow-origin" not in answer.headers


async def test_an_origin_of_the_settings(serve: Serve) -> None:
    async with serve(server={"cors_origins": (ORIGIN,)}) as served:
        del served.client.headers["authorization"]
        preflight = await served.client.options(served.path(), headers=PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        for headers, status in (({}, 400), ({"authorization": f"Bearer {served.token}"}, 200)):
            answer = await served.run({"prompt": "a"}, headers={"origin": ORIGIN, **headers})
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "cf-ai-req-id" in answer.headers["access-control-expose-headers"]


async def test_another_origin_stays_out(serve: Serve) -> None:
    async with serve(server={"cors_origins": (ORIGIN,)}) as served:
        headers = {**PREFLIGHT, "origin": "http://evil.example"}
        preflight = await served.client.options(served.path(), headers=headers)
        assert "access-control-allow-origin" not in preflight.headers


async def test_a_private_network_is_named_to_listed_origins(serve: Serve) -> None:
    """Browsers ask before a page of the internet may reach a machine of this network."""
    asked = {**PREFLIGHT, "access-control-request-private-network": "true"}
    async with serve(server={"cors_origins": (ORIGIN,)}) as served:
        preflight = await served.client.options(served.path(), headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-private-network"] == "true"
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        other = await served.client.options(served.path(), headers={**asked, "origin": "http://evil.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
        assert "access-control-allow-private-network" not in other.headers
        plain = await served.client.options(served.path(), headers=PREFLIGHT)
        assert "access-control-allow-private-network" not in plain.headers
