"""The real wrangler, the last 3.x and a 4.x, creates and lists finetunes.

Its status is 0 for a finetune that failed too (it only logs the error), so what it prints is what these tests read.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.finetunes import FINETUNES, RANK_RULE, UNKNOWN_MODEL, listed, run_with
from tests.clients.node import CLIENTS, node
from tests.live.server import CF, LiveServer

READY = "is ready to use"
VERSIONS = {"wrangler-3": "3.114.17", "wrangler-4": "4.86.0"}

Wrangler = Callable[..., str]


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def wrangler(server: LiveServer, tmp_path: Path, release: str) -> Wrangler:
    """`wrangler("list")` runs `wrangler ai finetune list`; what it printed."""
    home = tmp_path / "home"
    home.mkdir()
    program = CLIENTS / "node_modules" / release / "bin" / "wrangler.js"

    def run(*arguments: str | Path) -> str:
        done = node(server, home, program, "ai", "finetune", *arguments)
        return done.stdout + done.stderr

    return run


def test_create_and_list(wrangler: Wrangler, release: str, server: LiveServer, adapter: Path) -> None:
    said = wrangler("create", CF, release, adapter)
    assert f'finetune "{release}" {READY}.' in said, said
    finetune = listed(server, release)
    assert (finetune["state"], finetune["model"]) == ("ready", CF)
    row = next(line for line in wrangler("list").splitlines() if release in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [finetune["id"], release, ""]
    assert run_with(server, release).startswith(f"[{release}]")


def test_a_refused_adapter_is_explained(wrangler: Wrangler, server: LiveServer, rank_64: Path) -> None:
    said = wrangler("create", CF, "refused", rank_64)
    assert READY not in said
    assert "Couldn't upload file" in said
    assert f"Lora not compatible with model: adapter_config.json: {RANK_RULE}" in said
    assert "[code: 3030]" in said
    assert listed(server, "refused")["state"] == "refused"


def test_an_unknown_model_is_an_error(wrangler: Wrangler, server: LiveServer, adapter: Path) -> None:
    said = wrangler("create", UNKNOWN_MODEL, "unknown", adapter)
    assert READY not in said
    assert "Finetune couldn't be created" in said
    assert UNKNOWN_MODEL in said
    assert "[code: 5007]" in said
    names = [item["name"] for item in server.client.get(FINETUNES).json()["result"]]
    assert "unknown" not in names


def test_the_versions_are_those_meant(release: str) -> None:
    package = (CLIENTS / "node_modules" / release / "package.json").read_text()
    assert f'"version": "{VERSIONS[release]}"' in package
