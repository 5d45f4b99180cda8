"""Commands and the server's processes import nothing from the folder that they are started in."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.inference.constrained.worker import WorkerProcess
from app.server.child_processes import isolated
from tests.conftest import HF
from tests.hostile import hostile, imported

CHECKOUT = Path(__file__).resolve().parents[1]
COMMAND = str(Path(sys.executable).with_name("outworker"))
FAKE = str(CHECKOUT / "wrangler-like-config" / "fake-engine.toml")
IN_JSON = {
    "prompt": "a",
    "response_format": {"type": "json_schema", "json_schema": {"type": "object", "title": "anything"}},
}
SERVE = """
import os, sys
os.environ["PYTHONPATH"] = {path!r}
from app.cli.main import main
main()
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "OUTWORKER_DATA_DIR": str(folder / "data"), "PORT": "0"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--config", FAKE],
        ["token", "list", "--config", FAKE],
        ["adapter", "check", str(CHECKOUT / "adapters" / "pirate")],
        ["weights", "list"],
        ["page", "--config", FAKE],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_command_imports_nothing_from_where_it_is_given(tmp_path: Path, arguments: list[str]) -> None:
    folder = hostile(tmp_path / "here")
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert imported(folder) == []


@pytest.mark.parametrize("search_path", [None, f":{CHECKOUT}", "."], ids=["unset", "empty entry", "relative"])
def test_the_server_and_its_children_import_nothing_from_there(
    tmp_path: Path, search_path: str | None
) -> None:
    """Also where PYTHONPATH names the working directory without its writer's knowledge. The request starts a helper."""
    folder = hostile(tmp_path / "here")
    command = [COMMAND, "serve", "--config", FAKE]
    if search_path is not None:  # set late: what Python itself does with it comes before any code of ours
        command = [sys.executable, "-P", "-c", SERVE.format(path=search_path), *command[1:]]
    with subprocess.Popen(
        command, cwd=folder, env=environment(tmp_path), stdout=subprocess.PIPE, text=True, process_group=0
    ) as server:
        assert server.stdout is not None
        try:
            url = next(line.split()[2] for line in server.stdout if line.startswith("starting on "))
            assert any(line.startswith("ready on ") for line in server.stdout)
            ask_in_json(url, (tmp_path / "data" / "dev-token").read_text().strip())
        finally:
            server.send_signal(signal.SIGINT)
    assert imported(folder) == []


def ask_in_json(url: str, token: str) -> None:
    """The fake engine's words are not JSON, which jsonschema is asked about."""
    path, headers = f"/client/v4/accounts/local/ai/run/{HF}", {"authorization": f"Bearer {token}"}
    answer = httpx.post(url + path, json=IN_JSON, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 5024), answer.text


@pytest.mark.anyio
async def test_a_helper_imports_nothing_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hostile(tmp_path / "here")
    monkeypatch.chdir(folder)
    helper = WorkerProcess("app.inference.constrained.schema_worker")
    try:
        assert await helper.ask({"schema": {"type": "object"}}, 30) == {"wrong": None}
    finally:
        await helper.stop()
    assert imported(folder) == []


def test_of_pythons_search_path_what_is_absolute_stays() -> None:
    path = os.pathsep.join(["", "/opt/more", ".", "lib", "/opt/most"])
    assert isolated({"PYTHONPATH": path, "A": "b"}) == {
        "A": "b",
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(["/opt/more", "/opt/most"]),
    }
    assert "PYTHONPATH" not in isolated({"PYTHONPATH": ":."})
