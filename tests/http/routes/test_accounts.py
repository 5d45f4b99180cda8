"""What wrangler asks before anything else, over a real server with the fake engine."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import Serve, Served

pytestmark = pytest.mark.anyio

API = "/client/v4"
PATHS = ("/accounts", "/memberships", "/user", "/user/tokens/verify", "/accounts/team-a/tokens/verify")


@pytest.fixture
async def served(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as server:
        yield server


async def answer(
    served: Served, path: str, account: str = "team-a", scope: str = "ai:read"
) -> dict[str, Any]:
    _, token = served.stores.tokens.create(account, [scope])
    response = await served.client.get(f"{API}{path}", headers={"authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
    return dict(body)


ACCOUNT = {"id": "team-a", "name": "team-a", "type": "standard"}
RESULTS: dict[str, Any] = {
    "/accounts": [ACCOUNT],
    "/memberships": [{"id": "team-a", "account": ACCOUNT, "status": "accepted", "roles": ["ai:read"]}],
    "/user": {"id": "team-a", "email": "team-a@localhost"},
    "/user/tokens/verify": {"id": "team-a", "status": "active"},
    "/accounts/team-a/tokens/verify": {"id": "team-a", "status": "active"},
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ["", "/", "?page=1"])
async def test_all_answer_about_the_account_of_the_token(served: Served, path: str, end: str) -> None:
    assert (await answer(served, f"{path}{end}"))["result"] == RESULTS[path]


@pytest.mark.parametrize("path", PATHS[:2])
async def test_the_lists_end(served: Served, path: str) -> None:
    first = await answer(served, f"{path}?page=1&per_page=5")
    assert first["result_info"] == {"count": 1, "page": 1, "per_page": 5, "total_count": 1}
    second = await answer(served, f"{path}?page=2")
    assert second["result"] == []
    assert second["result_info"] == {"count": 0, "page": 2, "per_page": 20, "total_count": 1}
    bad = await served.client.get(f"{API}{path}?page=0")
    assert (bad.status_code, bad.json()["errors"][0]["code"]) == (400, 5006)


async def test_the_roles_are_what_the_token_may_do(served: Served) -> None:
    (membership,) = (await answer(served, "/memberships", scope="ai:write"))["result"]
    assert membership["roles"] == ["ai:read", "ai:write"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_token_that_does_not_work_is_nobodys(served: Served, path: str) -> None:
    for headers, status, code in (
        ({"authorization": "Bearer unknown"}, 401, 10000),
        ({"authorization": ""}, 400, 9106),
    ):
        response = await served.client.get(f"{API}{path}", headers=headers)
        assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    _, token = served.stores.tokens.create("team-a", ["ai:read"])
    wrong = await served.client.post(f"{API}{path}", headers={"authorization": f"Bearer {token}"})
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (405, 7001)


async def test_a_token_is_verified_for_its_own_account_only(served: Served) -> None:
    """The client's own token is `local`'s."""
    mine = await served.client.get(f"{API}/accounts/local/tokens/verify")
    assert (mine.status_code, mine.json()["result"]["status"]) == (200, "active")
    for account, status, code in (("team-a", 401, 10000), ("no%20account", 404, 7003)):
        other = await served.client.get(f"{API}/accounts/{account}/tokens/verify")
        assert (other.status_code, other.json()["errors"][0]["code"]) == (status, code)
