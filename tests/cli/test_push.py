"""`outworker adapter push` against the real server, and against ones that hang."""

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.cli.push import adapter_files
from app.errors import OperatorError
from app.settings import CHECKOUT
from tests.cli.conftest import At, Command
from tests.cli.raw import Request, ok, raw_server, refusal
from tests.conftest import CF, HF, Serve

TOKEN = str(Path(__file__).with_name("token.txt"))
PIRATE = CHECKOUT / "adapters" / "pirate"
JSON = CHECKOUT / "adapters" / "json"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# A shell function in curl's place prints its arguments, with the token read as a person's shell would.
PRINT_ARGUMENTS = 'curl() { printf "%s\\n" "$@"; }\n'


def curl_arguments(out: str, **environment: str) -> list[str]:
    line = out[out.index("curl ") :]
    shell = ["sh", "-c", PRINT_ARGUMENTS + line]
    done = subprocess.run(
        shell, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.anyio
async def test_a_push_prints_what_it_made_and_the_curl_that_uses_it(serve: Serve, at: At) -> None:
    async with serve() as served:
        done = await at(served, "adapter", "push", str(PIRATE), "--name", "captain")
        assert (done.status, done.err) == (0, "")
        [stored] = served.stores.adapters.list("local")
        assert done.fields["id"] == stored.id
        assert (done.fields["name"], done.fields["model"], done.fields["rank"]) == ("captain", HF, "16")
        _, url, _, header, _, body = curl_arguments(done.out)
        name, _, value = header.partition(": ")
        answer = await served.client.post(url, content=body, headers={name: value})
        assert value == f"Bearer {served.token}"
        assert answer.status_code == 200
        assert orjson.loads(body)["lora"] == "captain"
        assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.anyio
async def test_every_option(serve: Serve, at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as served:
        monkeypatch.setenv("CLOUDFLARE_API_TOKEN", served.token)
        options = ["--model", CF, "--description", "Talks & walks", "--public", "--account", "local"]
        done = await at(served, "adapter", "push", str(PIRATE), "--name", "p", "--url", served.url, *options)
        assert done.status == 0
        [stored] = served.stores.adapters.list("local")
        assert (stored.model, stored.description, stored.public) == (CF, "Talks & walks", True)
        assert "Bearer $CLOUDFLARE_API_TOKEN" in done.out
        assert f"{served.url}/client/v4/accounts/local/ai/run/{CF}" in curl_arguments(done.out)


@pytest.mark.anyio
async def test_a_taken_name_and_replace(serve: Serve, at: At) -> None:
    async with serve() as served:
        assert (await at(served, "adapter", "push", str(PIRATE), "--name", "p")).status == 0
        [first] = served.stores.adapters.list("local")
        taken = await at(served, "adapter", "push", str(JSON), "--name", "p")
        assert (taken.status, taken.out) == (2, "")
        assert "(code 5090)" in taken.err
        assert len(taken.err.splitlines()) == 1
        assert (await at(served, "adapter", "push", str(JSON), "--name", "p", "--replace")).status == 0
        [second] = served.stores.adapters.list("local")
        assert second.digest != first.digest


@pytest.mark.anyio
async def test_every_finding_of_a_refusal_is_a_line(serve: Serve, at: At, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(PIRATE, folder)
    (folder / CONFIG).write_text('{"peft_type": "LORA", "r": 8, "use_dora": true, "bias": "all"}')
    async with serve() as served:
        done = await at(served, "adapter", "push", str(folder), "--name", "p")
        assert (done.status, done.out) == (2, "")
        head, *findings = done.err.splitlines()
        assert head.startswith("outworker: p: refused by the server, ")
        assert f" {len(findings)} findings" in head
        assert any("use_dora" in line for line in findings)
        assert any("bias" in line for line in findings)
        checked = await at(served, "adapter", "check", str(folder))
        assert checked.out.splitlines()[: len(findings)] == findings


@pytest.mark.anyio
async def test_a_wrong_token_and_a_wrong_model(serve: Serve, at: At) -> None:
    async with serve() as served:
        push = ("adapter", "push", str(PIRATE), "--name", "p")
        done = await at(served, *push, "--token", "ow_" + "x" * 43)
        assert done.status == 2
        assert "--token-file or CLOUDFLARE_API_TOKEN" in done.err
        done = await at(served, *push, "--model", "@cf/no/such")
        assert done.status == 2
        assert "(code 5007)" in done.err


def test_a_missing_file_is_named_before_anything_is_sent(command: Command, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("{}")
    push = ("--name", "p", "--url", "http://127.0.0.1:1", "--token-file", TOKEN)
    done = command("adapter", "push", str(tmp_path), *push)
    assert done.status == 2
    assert f"{tmp_path}: {WEIGHTS}: is missing" in done.err
    (tmp_path / CONFIG).unlink()
    assert len(command("adapter", "push", str(tmp_path), *push).err.splitlines()) == 2
    assert "is not a folder" in command("adapter", "push", str(tmp_path / "gone"), *push).err


def test_sizes_that_no_server_takes(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(b"{}")
    with (tmp_path / WEIGHTS).open("wb") as file:
        file.truncate(299_999_999)
    assert adapter_files(tmp_path) == (tmp_path / CONFIG, tmp_path / WEIGHTS)
    os.truncate(tmp_path / WEIGHTS, 300_000_000)
    with pytest.raises(OperatorError, match="has 300000000 bytes, must have fewer than 300000000"):
        adapter_files(tmp_path)
    os.truncate(tmp_path / WEIGHTS, 1)
    os.truncate(tmp_path / CONFIG, 64_001)
    with pytest.raises(OperatorError, match="json: has 64001 bytes"):
        adapter_files(tmp_path)


def scripted(state: str) -> Callable[[Request], bytes]:
    """Answers of a server whose finetune is in `state`; the weights are never answered."""
    finetune = {"id": "6f3c", "name": "p", "model": "m", "state": state}

    def answer(request: Request) -> bytes:
        return ok({"state": "unfinished"} if "finetune-assets" in request.line else finetune)

    return answer


def test_the_hosted_service_shows_no_single_finetune(command: Command) -> None:
    def answer(request: Request) -> bytes:
        if request.line.startswith("GET"):
            return refusal("405 Method Not Allowed", 7001, "Method GET not available for that URI.")
        return ok({"id": "6f3c", "name": "p", "model": "m"})

    with raw_server(answer) as server:
        done = command(
            "adapter", "push", str(PIRATE), "--name", "p", "--url", server.url, "--token-file", TOKEN
        )
    assert done.status == 0
    assert done.fields["id"] == "6f3c"
    assert "rank" not in done.fields


def test_a_refusal_without_findings_is_told_as_it_came(command: Command) -> None:
    def answer(request: Request) -> bytes:
        if "finetune-assets" in request.line:
            return refusal("400 Bad Request", 3030, "Lora not compatible with model")
        return ok({"id": "6f3c", "name": "p", "model": "m"})

    with raw_server(answer) as server:
        done = command(
            "adapter", "push", str(PIRATE), "--name", "p", "--url", server.url, "--token-file", TOKEN
        )
    assert done.status == 2
    assert done.err.endswith("refused: Lora not compatible with model (code 3030)\n")


def test_a_server_that_lost_a_file(command: Command) -> None:
    with raw_server(scripted("unfinished")) as server:
        done = command(
            "adapter", "push", str(PIRATE), "--name", "p", "--url", server.url, "--token-file", TOKEN
        )
    assert done.status == 2
    assert "is unfinished though both files are sent" in done.err


@pytest.mark.parametrize(
    ("state", "deleted", "expected"),
    [("unfinished", 1, "what was sent of p is deleted"), ("ready", 0, "p was complete and is ready")],
)
def test_ctrl_c_while_a_file_is_sent(state: str, deleted: int, expected: str) -> None:
    script = scripted(state)

    def answer(request: Request) -> bytes:
        if "finetune-assets" in request.line and b"safetensors" in request.body:
            server.last.wait()
        return script(request)

    with raw_server(answer) as server:
        push = start_push(server.url)
        for _ in range(3):  # create and both assets
            assert server.came.acquire(timeout=30)
        push.send_signal(signal.SIGINT)
        out, err = push.communicate(timeout=30)
    assert (push.returncode, out) == (130, "")
    assert err.startswith(f"outworker: interrupted; {expected}")
    assert len(err.splitlines()) == 1
    deletes = [request for request in server.requests if request.line.startswith("DELETE")]
    assert len(deletes) == deleted
    assert all("/ai/finetunes/6f3c " in request.line for request in deletes)


def test_ctrl_c_when_the_server_is_gone_says_what_is_left() -> None:
    def answer(request: Request) -> bytes:
        if "finetune-assets" in request.line:
            server.last.wait()
        return ok({"id": "6f3c", "name": "p", "model": "m"}) if request.line.startswith("POST") else b""

    with raw_server(answer) as server:
        push = start_push(server.url)
        for _ in range(2):
            assert server.came.acquire(timeout=30)
        push.send_signal(signal.SIGINT)
        _, err = push.communicate(timeout=30)
    assert push.returncode == 130
    assert err == "outworker: interrupted; what was sent of p stays on the server until it expires\n"


def start_push(url: str, **streams: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "app.cli.main", "adapter", "push", str(PIRATE), "--name", "p"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen(
        [*command, "--url", url, "--token-file", TOKEN], cwd=CHECKOUT, text=True, **streams
    )


def test_a_terminal_sees_a_bar_that_goes_away() -> None:
    ours, theirs = pty.openpty()
    with raw_server(ok({"id": "6f3c", "name": "p", "model": "m"})) as server:
        push = start_push(server.url, stderr=theirs)
        os.close(theirs)
        seen = read_all(ours)
        out, _ = push.communicate(timeout=30)
    assert push.returncode == 0
    assert out.startswith("id     6f3c\n")
    assert "sending" in seen
    assert "being checked" in seen
    assert " MB" in seen
    assert seen.endswith("\x1b[2K"), "the bar's line is cleared at the end"


def read_all(terminal: int) -> str:
    """What was written to a terminal until its other side closed, which Linux tells as an error."""
    seen = b""
    try:
        while piece := os.read(terminal, 65536):
            seen += piece
    except OSError:
        pass
    os.close(terminal)
    return seen.decode()
