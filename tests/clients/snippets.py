"""The playground's snippets: made by app/web/code.js, and run as a person who pastes them would."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from tests.clients.node import BIN, CLIENTS, own_environment
from tests.clients.worker import WranglerDev
from tests.conftest import HF

RUN_S = 60
PROGRAMS = {
    "curl": ("snippet.sh", "/bin/bash"),
    "python-cloudflare": ("snippet.py", sys.executable),
    "python-openai": ("snippet.py", sys.executable),
    "javascript-fetch": ("snippet.mjs", str(BIN / "node")),
}
"""For each id but `worker`: a file's name, and what runs it."""

NATIVE = ("curl", "python-cloudflare", "javascript-fetch")


class Address(Protocol):
    """A server, wherever it runs."""

    @property
    def url(self) -> str: ...

    @property
    def token(self) -> str: ...


def made(
    origin: str, body: Any, token: str | None = None, model: str = HF, account: str = "local"
) -> dict[str, dict[str, str]]:
    """What `snippets` of app/web/code.js gives, by id."""
    request = {"origin": origin, "accountId": account, "model": model, "body": body, "token": token}
    done = subprocess.run(
        [BIN / "node", CLIENTS / "snippets.mjs"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {snippet["id"]: snippet for snippet in json.loads(done.stdout)}


def run_snippet(name: str, code: str, server: Address, folder: Path) -> str:
    """Everything that the snippet of id `name` prints in an empty folder; for the Worker, what it answers."""
    if name == "worker":
        return run_workers([code], server, folder)[0].text
    file, program = PROGRAMS[name]
    (folder / file).write_text(code, encoding="utf-8")
    environment = own_environment(folder)
    done = subprocess.run(
        [program, file],
        cwd=folder,
        env={**environment, "PATH": "/usr/bin:/bin", "CLOUDFLARE_API_TOKEN": server.token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=RUN_S,
        check=False,
    )
    return done.stdout


def run_workers(codes: Sequence[str], server: Address, folder: Path) -> list[httpx.Response]:
    """What each Worker answers, all under one `wrangler dev`: it takes seconds to start."""
    modules = {f"snippet-{index}.mjs": code for index, code in enumerate(codes)}
    imports = "".join(f'import worker{index} from "./{name}";\n' for index, name in enumerate(modules))
    listed = ", ".join(f"worker{index}" for index in range(len(codes)))
    chooser = f"""{imports}
const workers = [{listed}];
export default {{
  fetch: (request, env) => workers[new URL(request.url).pathname.slice(1)].fetch(request, env),
}};
"""
    environment = {"OUTWORKER_URL": server.url, "OUTWORKER_TOKEN": server.token}
    dev = WranglerDev("wrangler-4", folder, environment, {**modules, "chooser.mjs": chooser}, "chooser.mjs")
    dev.start()
    try:
        return [httpx.get(f"{dev.url}/{index}", timeout=RUN_S) for index in range(len(codes))]
    finally:
        dev.stop()
