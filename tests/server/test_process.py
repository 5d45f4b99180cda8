"""`outworker serve` with the fake engine: what starts, what is refused in one line, how it ends."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from app.data_dir.server_lock import LOCK_FILE
from tests.live.server import CHECKOUT, HF, LiveServer, is_alive, outworker

OTHER_PIDS = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"


def refused(data_dir: Path, *arguments: str, **environment: str) -> str:
    """The one line of a start that fails with exit code 2."""
    done = outworker("serve", *arguments, data_dir=data_dir, **{"PORT": "0", **environment})
    said = (done.stdout + done.stderr).strip().splitlines()
    lines = [line for line in said if not line.startswith("starting on")]
    assert done.returncode == 2, said
    assert len(lines) == 1, said
    assert lines[0].startswith("outworker: ")
    assert "Traceback" not in done.stdout + done.stderr
    return lines[0]


def settings_file(folder: Path, weights: str, engine: str = "vllm", more: str = "") -> str:
    path = folder / "settings.toml"
    model = f'[[models]]\nname = "{HF}"\nweights = "{weights}"\nengine = "{engine}"\n'
    path.write_text(f'name = "x"\naccount_id = "local"\n{model}{more}')
    return str(path)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(tmp_path, "--config", str(FAKE), PORT=port)
    assert f"127.0.0.1:{port}" in line
    assert "PORT" in line


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    assert "/nowhere/at/all" in refused(tmp_path, "--config", settings_file(tmp_path, "/nowhere/at/all"))
    line = refused(tmp_path, "--config", settings_file(tmp_path, "someone/some-model"))
    assert "hf download someone/some-model" in line


@pytest.mark.parametrize(
    ("file", "damage", "expected"),
    [
        ("config.json", None, "missing"),
        ("config.json", b"{", "not valid JSON"),
        ("config.json", b'{"model_type": "llama"}', "mistral"),
        ("tokenizer.json", None, "tokenizer.json"),
        ("tokenizer.json", b"{}", "tokenizer"),
        ("model.safetensors", None, "safetensors"),
        ("model.safetensors", b"\x00" * 4, "safetensors"),
        ("model.safetensors", b"cut", "bytes where its header says"),
    ],
)
def test_broken_weights(
    tmp_path: Path, standin_folder: Path, file: str, damage: bytes | None, expected: str
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(standin_folder, folder)
    path = folder / file
    if damage is None:
        path.unlink()
    elif damage == b"cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_bytes(damage)
    line = refused(tmp_path, "--config", settings_file(tmp_path, str(folder)))
    assert file in line or damage is None
    assert expected in line


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    assert "engine" in refused(tmp_path, "--config", settings_file(tmp_path, "stand-in", engine="warp"))
    assert "nosuch.toml" in refused(tmp_path, "--config", str(tmp_path / "nosuch.toml"))
    assert "nightly" in refused(tmp_path, "--config", str(FAKE), "--env", "nightly")
    assert "PORT" in refused(tmp_path, "--config", str(FAKE), PORT="eighty")
    owned = settings_file(tmp_path, "stand-in", more="[models.vllm]\nenable_lora = false\n")
    assert "adapters" in refused(tmp_path, "--config", owned)
    unknown = settings_file(tmp_path, "stand-in", more="[models.vllm]\nmax_num_seq = 4\n")
    assert "max_num_seqs" in refused(tmp_path, "--config", unknown)
    small = settings_file(tmp_path, "stand-in", more="kv_cache_gib = 0.001\n")
    assert "kv_cache_gib" in refused(tmp_path, "--config", small)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    yield server
    server.stop()


def test_the_link_that_is_printed_gives_the_token_once(fake: LiveServer) -> None:
    fake.wait_for("  page ", 5)
    (link,) = (line.split()[1] for line in fake.lines if line.startswith("  page "))
    url, _, code = link.partition("/#code=")
    assert url == fake.url
    answers = [httpx.post(f"{url}/playground/token", json={"code": code}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[0].json()["result"] == {"account_id": "local", "token": fake.token}
    assert code not in fake.log()


def test_the_commands_find_the_server_of_their_data_directory(fake: LiveServer) -> None:
    """Its port was free at the start, and no setting names it."""
    printed = outworker("page", "--config", str(FAKE), data_dir=fake.data_dir)
    assert printed.stdout.startswith(f"{fake.url}/#code=")
    assert fake.stop() == 0
    refused = outworker("page", "--config", str(FAKE), data_dir=fake.data_dir)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"outworker: no server uses {fake.data_dir}: start it with ")


def test_when_a_token_was_used_last_is_listed(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    assert server.run({"prompt": "a"}).status_code == 200
    assert server.stop() == 0  # what was noted is written at the end at the latest
    listed = outworker("token", "list", data_dir=server.data_dir).stdout
    assert re.search(r"  used \d{4}-\d\d-\d\dT\d\d:\d\d\+00:00", listed), listed


def test_ready_says_how_far_the_start_is(tmp_path: Path) -> None:
    server = LiveServer(tmp_path / "data").start()  # the stand-in with vLLM: there is time to look
    try:
        answer = server.client.get("/ready")
        assert answer.status_code == 503
        names = [step["name"] for step in answer.json()["steps"]]
        assert names[:2] == ["settings and cards", "database"]
        assert all(step["at_s"] >= 0 for step in answer.json()["steps"])
    finally:
        server.signal_group(signal.SIGTERM)
        server.stop()


def test_the_token_is_kept_and_shown_once(tmp_path: Path) -> None:
    first = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    token = first.token
    assert first.stop() == 0
    assert token in "".join(first.lines)
    second = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    try:
        assert second.token == token
        assert token not in "".join(second.lines)
        assert second.run({"prompt": "a"}).status_code == 200
        assert token not in second.log()
    finally:
        assert second.stop() == 0


def test_a_second_server_on_the_same_data_is_refused(fake: LiveServer) -> None:
    line = refused(fake.data_dir, "--config", str(FAKE))
    assert f"another server (pid {fake.server_process().pid})" in line
    assert "OUTWORKER_DATA_DIR" in line
    assert fake.run({"prompt": "a"}).status_code == 200


def test_a_second_server_is_refused_though_the_lock_s_file_is_deleted(fake: LiveServer) -> None:
    (fake.data_dir / LOCK_FILE).unlink()
    line = refused(fake.data_dir, "--config", str(FAKE))
    assert "another server uses" in line
    assert "OUTWORKER_DATA_DIR" in line
    assert fake.run({"prompt": "a"}).status_code == 200
    listed = outworker("token", "list", data_dir=fake.data_dir)  # finds the server, and works beside it
    assert listed.returncode == 0


def test_of_two_that_start_together_exactly_one_serves(tmp_path: Path, times: Callable[[int], int]) -> None:
    command = [sys.executable, "-P", "-m", "app.server.process", "--config", str(FAKE)]
    for turn in range(times(80)):
        environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path / str(turn)), "PORT": "0"}
        both = [
            subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        while not (ended := [server for server in both if server.poll() is not None]):
            time.sleep(0.01)
        lost = ended[0]
        (won,) = (server for server in both if server is not lost)
        assert lost.returncode == 2
        assert "OUTWORKER_DATA_DIR" in lost.communicate()[0]
        assert won.stdout is not None
        assert won.stdout.readline().startswith("starting on ")
        won.terminate()
        assert won.communicate(timeout=20)[0].endswith("stopped\n")
        assert won.returncode == 0


@pytest.mark.skipif(
    subprocess.run([*OTHER_PIDS, "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine lets nobody make a PID namespace",
)
def test_a_second_server_in_another_pid_namespace_is_refused(fake: LiveServer) -> None:
    """As in a container that shares the folder: pids mean nothing there."""
    command = [*OTHER_PIDS, sys.executable, "-m", "app.cli.main", "serve", "--config", str(FAKE)]
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(fake.data_dir), "PORT": "0"}
    second = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert "OUTWORKER_DATA_DIR" in second.stdout
    assert fake.run({"prompt": "a"}).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_server_leaves_one_whole_database_file(tmp_path: Path, number: int) -> None:
    """A copy of outworker.db alone has all that was written."""
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    made = outworker(
        "token", "create", "--account", "a", "--new-account", "--scope", "ai:read", data_dir=server.data_dir
    )
    token_id = made.stdout.split()[1]
    server.client.post("/client/v4/accounts/local/ai/finetunes", json={"model": HF, "name": "mine"})
    server.signal_group(number)
    assert server.process.wait(30) == 0
    server.stop()
    assert not list(server.data_dir.glob("outworker.db-*"))
    copy = tmp_path / "copy.db"
    shutil.copy(server.data_dir / "outworker.db", copy)
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT count(*) FROM tokens WHERE id = ?", [token_id]).fetchone() == (1,)
        assert database.execute("SELECT name FROM adapters WHERE state = 'created'").fetchall() == [("mine",)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_ends_it_with_status_0(fake: LiveServer, number: int) -> None:
    fake.signal_group(number)
    assert fake.process.wait(30) == 0
    fake.stop()
    assert "stopped\n" in fake.lines
    with pytest.raises(httpx.ConnectError):
        httpx.get(fake.url + "/health")


def test_kill_9_of_launcher_and_server_leaves_a_start_that_works(tmp_path: Path) -> None:
    first = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    server = first.server_process()
    first.process.kill()
    os.kill(server.pid, signal.SIGKILL)
    first.stop()
    second = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    assert not is_alive(server)
    assert second.run({"prompt": "a"}).status_code == 200
    assert second.stop() == 0


def test_a_launcher_that_is_killed_takes_its_server_along(fake: LiveServer) -> None:
    server = fake.server_process()
    fake.process.kill()
    server.wait(20)


def test_a_server_that_is_killed_is_reported(fake: LiveServer) -> None:
    fake.server_process().kill()
    assert fake.process.wait(20) == 1
    fake.stop()
    assert any("killed by signal 9" in line for line in fake.lines)


def test_health_answers_while_the_engine_starts_and_nothing_prints_a_stack(tmp_path: Path) -> None:
    """The server process alone, without a launcher: its lines go to standard output."""
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path), "PORT": "0"}
    command = [sys.executable, "-m", "app.server.process", "--config", str(FAKE)]
    server = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    try:
        assert httpx.get(line.split()[2] + "/health").json() == {"status": "ok"}
    finally:
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=20)[0]
    assert server.returncode == 0
    assert rest.endswith("stopped\n")


def test_an_early_ctrl_c_is_no_failure_and_harms_no_other_server(fake: LiveServer) -> None:
    """A second start on the same data, interrupted at once, while the first serves."""
    command = [sys.executable, "-m", "app.cli.main", "serve", "--config", str(FAKE)]
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(fake.data_dir), "PORT": "0"}
    second = subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True, process_group=0
    )
    while not (children := psutil.Process(second.pid).children()):
        assert second.poll() is None
    assert children
    os.killpg(second.pid, signal.SIGINT)
    said, _ = second.communicate(timeout=20)
    assert "killed" not in said
    assert second.returncode in (0, 2)
    assert fake.run({"prompt": "a"}).status_code == 200
    assert (fake.data_dir / "processes.json").exists()


def test_a_folder_with_an_app_of_its_own_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('the wrong app')")
    outworker_script = Path(sys.executable).with_name("outworker")
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path / "data"), "PORT": "0"}
    command = [str(outworker_script), "serve", "--config", str(FAKE)]
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().startswith("starting on ")
    server.terminate()
    server.communicate(timeout=20)
    assert server.returncode == 0


def test_a_fault_of_ours_at_start_is_said_with_the_place_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "processes.json").mkdir()
    (tmp_path / "outworker.db").mkdir()
    done = outworker("serve", "--config", str(FAKE), data_dir=tmp_path, PORT="0")
    assert done.returncode in (1, 2)
    assert "outworker: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_any_host_is_said_with_what_it_gives_up(tmp_path: Path) -> None:
    settings = FAKE.read_text() + '\n[server]\nallowed_hosts = ["*"]\n'
    path = tmp_path / "settings.toml"
    path.write_text(settings)
    server = LiveServer(tmp_path / "data", path).start()
    try:
        server.wait_ready()
        assert any('allowed_hosts has "*"' in line and "DNS rebinding" in line for line in server.lines)
        answer = httpx.get(f"{server.url}/openapi.json", headers={"host": "any.example"})
        assert answer.status_code == 200
    finally:
        server.stop()


def test_sigterm_is_announced_before_the_listener_closes(fake: LiveServer) -> None:
    """What a balancer sees: not ready, still serving, then nothing more; exit status 0."""
    fake.process.send_signal(signal.SIGTERM)
    fake.wait_for("not ready any more; new requests are taken for 5 s", 10)
    assert fake.client.get("/ready").status_code == 503
    assert fake.run({"prompt": "a"}).status_code == 200
    assert fake.process.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(fake.url + "/health")
