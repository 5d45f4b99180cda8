"""The catalogue and what comes before it, read by wrangler 3 and 4 and by the cloudflare packages for Python and Node."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudflare import BadRequestError, Cloudflare

from tests.clients.node import CLIENTS, node
from tests.live.server import CF, CHECKOUT, HF, LiveServer

BOTH = {CF, HF}
CARDS = {
    card["name"]: card
    for card in (json.loads(path.read_text()) for path in (CHECKOUT / "schemas").glob("mistral-*.json"))
}
TASK = CARDS[CF]["task"]
ACCOUNT = {"id": "local", "name": "local", "type": "standard"}
EMAIL = "local@localhost"

Wrangler = Callable[..., str]


@pytest.fixture(params=["wrangler-3", "wrangler-4"])
def program(request: pytest.FixtureRequest) -> Path:
    return CLIENTS / "node_modules" / str(request.param) / "bin" / "wrangler.js"


@pytest.fixture
def wrangler(server: LiveServer, tmp_path: Path, program: Path) -> Wrangler:
    """`wrangler("ai", "models")` runs that; what it printed."""

    def run(*arguments: str | Path) -> str:
        done = node(server, tmp_path, program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def rows(table: str) -> list[list[str]]:
    """The cells of each line of a printed table, its head included."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
        if line.startswith("│")
    ]


def without_schema(item: dict[str, Any]) -> dict[str, Any]:
    """The published card, with the description that the server gave: another test reads that."""
    card = {key: value for key, value in CARDS[item["name"]].items() if key != "schema"}
    return {**card, "description": item["description"]}


def test_wrangler_lists_the_models(wrangler: Wrangler) -> None:
    head, *models = rows(wrangler("ai", "models"))
    assert head == ["model", "name", "description", "task"]
    assert {(model[0], model[1], model[3]) for model in models} == {
        (CARDS[name]["id"], name, "Text Generation") for name in BOTH
    }
    assert all(model[2].startswith("The Mistral-7B") for model in models)


def test_wrangler_lists_the_models_as_json(wrangler: Wrangler) -> None:
    said = wrangler("ai", "models", "--json")
    listed = json.loads(said[said.index("[\n") :])  # a release with a banner prints that first
    assert {item["name"] for item in listed} == BOTH
    for item in listed:
        assert item == without_schema(item)


def test_wrangler_knows_who_it_is(wrangler: Wrangler) -> None:
    said = wrangler("whoami")
    assert f"with the email {EMAIL}" in said
    assert rows(said) == [["Account Name", "Account ID"], ["local", "local"]]
    roles = wrangler("whoami", "--account", "local").partition('Membership roles in "local"')[2]
    assert [line for line in roles.splitlines() if line.startswith("- ")] == ["- ai:read", "- ai:write"]


def test_wrangler_asks_for_the_account(server: LiveServer, tmp_path: Path, program: Path) -> None:
    done = node(server, tmp_path, CLIENTS / "without-account.mjs", program, "ai", "models")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {model[1] for model in rows(done.stdout)[1:]} == BOTH


@pytest.fixture
def client(server: LiveServer) -> Iterator[Cloudflare]:
    base_url = f"{server.url}/client/v4"
    with Cloudflare(api_token=server.token, base_url=base_url, max_retries=0) as client:
        yield client


def test_the_python_package_pages_to_the_end(client: Cloudflare) -> None:
    every: list[Any] = list(client.ai.models.list(account_id="local", per_page=1))
    assert sorted(item["name"] for item in every) == sorted(BOTH)
    assert all(item == without_schema(item) for item in every)


def test_the_python_package_sends_every_parameter(client: Cloudflare) -> None:
    models = client.ai.models
    found: list[Any] = list(
        models.list(
            account_id="local",
            task="Text Generation",
            author="mistral",
            source=2,
            search="32k",
            hide_experimental=False,
            include_deprecated=True,
        )
    )
    assert [item["name"] for item in found] == [HF]
    assert list(models.list(account_id="local", source=2, hide_experimental=True)) == []


def test_the_python_package_reads_schemas_tasks_and_authors(client: Cloudflare) -> None:
    schema = client.ai.models.schema.get(account_id="local", model=CF)
    assert schema.to_dict() == CARDS[CF]["schema"]
    with pytest.raises(BadRequestError) as unknown:
        client.ai.models.schema.get(account_id="local", model=f"{CF}-9")
    assert [error.code for error in unknown.value.errors] == [5007]
    assert list(client.ai.tasks.list(account_id="local")) == [TASK]
    assert list(client.ai.authors.list(account_id="local")) == [{"name": "mistral"}]


def test_the_python_package_knows_who_it_is(client: Cloudflare) -> None:
    assert [account.id for account in client.accounts.list()] == ["local"]
    (membership,) = client.memberships.list()
    assert membership.account is not None
    assert (membership.account.name, membership.roles) == ("local", ["ai:read", "ai:write"])
    user, token = client.user.get(), client.user.tokens.verify()
    assert user is not None
    assert token is not None
    assert (user.email, token.status) == (EMAIL, "active")


def test_the_node_package(server: LiveServer, tmp_path: Path) -> None:
    done = node(server, tmp_path, CLIENTS / "catalogue.mjs", CF)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert sorted(item["name"] for item in got["every"]) == sorted(BOTH)
    assert all(item == without_schema(item) for item in got["every"])
    assert [item["name"] for item in got["ours"]] == [CF]
    assert got["schema"] == CARDS[CF]["schema"]
    assert got["failure"] == {"type": "BadRequestError", "status": 400, "code": 5007}
    assert (got["tasks"], got["authors"]) == ([TASK], [{"name": "mistral"}])
    assert got["accounts"] == [ACCOUNT]
    assert [membership["account"] for membership in got["memberships"]] == [ACCOUNT]
    assert (got["user"]["email"], got["token"]["status"]) == (EMAIL, "active")
