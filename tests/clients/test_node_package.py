"""The cloudflare package for Node: tests/clients/finetune.mjs to its end, and what it got."""

import json
from pathlib import Path

from tests.clients.node import CLIENTS, node
from tests.live.server import CF, LiveServer


def test_create_upload_list_and_run(server: LiveServer, tmp_path: Path, adapter: Path) -> None:
    done = node(server, tmp_path, CLIENTS / "finetune.mjs", CF, "from-node", adapter)
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    identity = got["created"]["id"]
    assert {key: got["created"][key] for key in ("name", "model", "description", "public")} == {
        "name": "from-node",
        "model": CF,
        "description": "From Node.",
        "public": True,
    }
    assert [upload["success"] for upload in got["uploads"]] == [True, True]
    assert [upload["result"]["state"] for upload in got["uploads"]] == ["unfinished", "ready"]
    assert identity in [item["id"] for item in got["listed"]]
    shared = [item["name"] for item in got["shared"]]
    assert shared.count("from-node") == 1
    assert shared == sorted(shared)
    assert got["answer"]["response"].startswith("[from-node]")
    assert got["failure"] == {"type": "NotFoundError", "status": 404, "code": 5033}
