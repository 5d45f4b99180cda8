"""The cf command line of Cloudflare: models, runs, finetunes and whose token it is.

What npm has of it is its technical preview, which keeps most commands out of sight unless CF_HIDE_COMMANDS says not to.
Its requests for a run and for an asset are not those of the beta; the beta's are asked below as it sends them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.engines.fake import ANSWER
from tests.clients.finetunes import FINETUNES, RANK_RULE, created, listed, run_with
from tests.clients.node import CLIENTS, node
from tests.live.server import CF, HF, LiveServer

PROGRAM = CLIENTS / "node_modules" / "cf" / "bin" / "cf"
ACCOUNT = "/client/v4/accounts/local"

Cf = Callable[..., Any]


@pytest.fixture
def cf(server: LiveServer, tmp_path: Path) -> Cf:
    """`cf("ai", "models", "list")` runs that; the JSON that it printed, or what it said of its failure."""

    def run(*arguments: str | Path) -> Any:
        done = node(server, tmp_path, PROGRAM, *arguments, CF_HIDE_COMMANDS="false")
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    return run


def test_the_catalogue_and_the_token(cf: Cf) -> None:
    models = cf("ai", "models", "list", "--fields", "name")
    assert {model["name"] for model in models} == {HF, CF}
    assert cf("ai", "models", "schema-get", "--model", CF)["input"]["type"] == "object"
    assert cf("accounts", "tokens", "verify") == {"id": "local", "status": "active"}
    assert [account["id"] for account in cf("accounts", "list")] == ["local"]


def test_runs(cf: Cf) -> None:
    assert cf("ai", "run", HF, "--prompt", "Hello")["response"] == ANSWER
    body = {"messages": [{"role": "user", "content": "Hello"}], "lora": "pirate"}
    assert cf("ai", "run", CF, "--body", json.dumps(body))["response"] == f"[pirate] {ANSWER}"


def test_errors(cf: Cf) -> None:
    for model, prompt, status, code, text in (
        ("@cf/none/such", "Hello", 400, 5007, "No such model @cf/none/such or task"),
        (HF, "7 " * 3000, 413, 5021, "exceeded this model input limit (3072)"),
    ):
        said = cf("ai", "run", model, "--prompt", prompt)
        assert f"API Error: {status}" in said
        assert f"[{code}]" in said
        assert text in said
    assert "[10000] Authentication error" in cf("ai", "finetunes", "list", "--api-token", "nobody")


def test_finetunes(cf: Cf, server: LiveServer, adapter: Path, rank_64: Path) -> None:
    named = ("--model", CF, "--name", "from-cf")
    identity = cf("ai", "finetunes", "create", *named)["id"]
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        asset = cf("ai", "finetunes", "assets-create", identity, "--file", adapter / name)
        assert asset["file_name"] == name
    assert (asset["state"], listed(server, "from-cf")["state"]) == ("ready", "ready")
    assert "from-cf" in [item["name"] for item in cf("ai", "finetunes", "list")]
    assert run_with(server, "from-cf").startswith("[from-cf]")
    bad = created(server, "from-cf-bad")
    cf("ai", "finetunes", "assets-create", bad, "--file", adapter / "adapter_model.safetensors")
    said = cf("ai", "finetunes", "assets-create", bad, "--file", rank_64 / "adapter_config.json")
    assert "[3030]" in said
    assert RANK_RULE in said


def test_what_the_beta_sends(server: LiveServer, adapter: Path) -> None:
    """`ai run` names the model in the body, `assets create` sends the file first, `delete` prints what it deleted."""
    body = {"model": HF, "input": {"prompt": "Hello"}}
    answer = server.client.post(f"{ACCOUNT}/ai/run", json=body)
    assert answer.json()["result"]["response"] == ANSWER
    identity = created(server, "from-the-beta")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        parts = [("file", (name, (adapter / name).read_bytes())), ("file_name", (None, name))]
        sent = server.client.post(f"{FINETUNES}/{identity}/finetune-assets", files=parts)
        assert (sent.status_code, sent.json()["result"]["file_name"]) == (200, name)
    assert run_with(server, "from-the-beta").startswith("[from-the-beta]")
    gone = server.client.delete(f"{FINETUNES}/{identity}")
    assert gone.json()["result"] == {"id": identity, "name": "from-the-beta"}
    lists = [server.client.get(f"/client/v4/{name}?per_page=50") for name in ("accounts", "memberships")]
    assert [answer.status_code for answer in lists] == [200, 200]
