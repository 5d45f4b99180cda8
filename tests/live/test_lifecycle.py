"""Start, kill and drain on the real engine. Runs before the other live tests: one engine is alive at a time."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from app.data_dir.socket_folder import SocketFolder
from tests.hostile import hostile, imported
from tests.live.server import READY_S, SETTINGS, LiveServer, is_alive, sse_events

pytestmark = pytest.mark.engine

IN_JSON = {
    "prompt": "Is it?",
    "max_tokens": 60,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"type": "object", "properties": {"is": {"type": "boolean"}}, "required": ["is"]},
    },
}
STREAMS = 64
GROWTH_MIB = 6
"""What a revival may leave behind on average. Without a whole collection it was 50."""
NOISE_MIB = 20

WAITING: list[dict[str, object]] = [
    {"prompt": "What is Outworker?"},
    {"prompt": "What is Outworker?", "stream": True},
    {"prompt": "What is Outworker?", "lora": "pirate"},
    {"prompt": "What is Outworker?", "lora": "json", "stream": True},
]
ARRIVED_S = 0.5
"""What is sent is with the engine after so long."""

LONG = {"prompt": "Say hello", "temperature": 5, "seed": 1, "max_tokens": 800, "stream": True}


@pytest.mark.soak
def test_start_kill_start_drain(tmp_path: Path, times: Callable[[int], int]) -> None:
    data_dir = tmp_path / "data"
    orphans = start_and_kill(data_dir)
    server = LiveServer(data_dir, watched_closely(tmp_path), hostile(tmp_path / "hostile")).start()
    try:
        server.wait_ready()
        assert any(f"ended {len(orphans)} processes" in line for line in server.lines), server.lines
        assert not any(is_alive(orphan) for orphan in orphans)
        survive_the_engine_s_death(server, signal.SIGSTOP)
        assert server.run(IN_JSON).status_code == 200
        assert imported(tmp_path / "hostile") == []
        leave_nothing_behind(server, times(10))
        drain(server)
        assert not SocketFolder.of(data_dir).path.exists()
    finally:
        server.stop()


def start_and_kill(data_dir: Path) -> list[psutil.Process]:
    """Watch a start from its first second, kill -9 launcher and server; the engine processes left running."""
    server = LiveServer(data_dir).start()
    assert server.client.get("/health").json() == {"status": "ok"}
    assert server.client.get("/ready").status_code == 503
    early = server.run({"prompt": "a"})
    assert (early.status_code, early.json()["errors"][0]["code"]) == (429, 3040)
    assert int(early.headers["retry-after"]) > 0
    server.wait_ready()
    assert server.client.get("/ready").status_code == 200
    sockets = SocketFolder.of(data_dir).path
    assert [path for path in sockets.iterdir() if path.is_socket()], "vLLM's sockets are somewhere else"
    engine, parent = server.engine_processes(), server.server_process()
    assert engine
    server.process.kill()
    os.kill(parent.pid, signal.SIGKILL)
    server.stop()
    left = [process for process in engine if is_alive(process)]
    assert left, "nothing was left running: this test shows nothing any more"
    return left


def watched_closely(folder: Path) -> Path:
    """Settings for an engine that is lost after a few silent seconds."""
    settings = folder / "watched.toml"
    settings.write_text(f"{SETTINGS.read_text()}\nengine_stall_s = 4\n")
    return settings


def survive_the_engine_s_death(server: LiveServer, number: int) -> None:
    """kill -9 or a stop of vLLM's core: a stream that had begun ends in an error event, who has no token yet is answered
    by the next core, and who comes meanwhile is told to come again.
    """
    before = [ask(server, body) for body in WAITING]
    with ThreadPoolExecutor(STREAMS + len(WAITING)) as pool:
        streams = [Stream(server) for _ in range(STREAMS)]
        replies = [pool.submit(stream.read) for stream in streams]
        for stream in streams:
            assert stream.began.wait(60)
        for process in server.engine_processes():
            process.send_signal(signal.SIGSTOP)  # from here on nobody gets a first token
        waiting = [pool.submit(ask, server, body) for body in WAITING]
        time.sleep(ARRIVED_S)
        for process in server.engine_processes():
            process.send_signal(number)
        codes = {json.loads(sse_events(reply.result(60))[-1])["errors"][0]["code"] for reply in replies}
        assert codes == {3043}
        assert server.client.get("/ready").status_code == 503
        refused = server.run({"prompt": "a"})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3040)
        assert int(refused.headers["retry-after"]) > 0
        assert [reply.result(READY_S) for reply in waiting] == before
    serves_again(server)
    assert [ask(server, body) for body in WAITING] == before


def ask(server: LiveServer, body: dict[str, object]) -> str:
    """The answer's text, whole or of its stream."""
    answer = server.client.post(server.path(), json={"temperature": 0, **body}, timeout=READY_S)
    assert answer.status_code == 200, answer.text
    if "stream" not in body:
        return str(answer.json()["result"]["response"])
    events = [json.loads(event) for event in sse_events(answer.text)[:-1]]
    assert not any("errors" in event for event in events), answer.text
    return "".join(event["response"] for event in events)


def serves_again(server: LiveServer) -> None:
    deadline = time.monotonic() + READY_S
    while server.client.get("/ready").status_code != 200:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.1)


class Stream:
    """A long reply; `began` is set with its first bytes."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self.began = threading.Event()

    def read(self) -> str:
        # A client of its own would read certificates first: the first stream would end before the last begins.
        with self._server.client.stream("POST", self._server.path(), json=LONG) as answer:
            text = ""
            for piece in answer.iter_text():
                text += piece
                self.began.set()
        return text


def drain(server: LiveServer) -> None:
    """Signal the whole group, as Ctrl-C does, while a reply streams: the reply ends well, the engine is gone."""
    engine = server.engine_processes()
    stream = Stream(server)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(stream.read)
        assert stream.began.wait(30)
        server.signal_group(signal.SIGINT)
        events = sse_events(reply.result(60))
    assert events[-1] == "[DONE]"
    assert len(events) > 100
    assert server.process.wait(60) == 0
    psutil.wait_procs(engine, timeout=10)
    assert not any(is_alive(process) for process in engine)


def leave_nothing_behind(server: LiveServer, revivals: int) -> None:
    """kill -9 of the core again and again: memory, threads, descriptors and names of sockets stay as many."""
    before, names = footprint(server), len(socket_names(server))
    for _ in range(revivals):
        survive_the_engine_s_death(server, signal.SIGKILL)
    after = footprint(server)
    print(f"{revivals} revivals: {before} -> {after} (MiB, threads, descriptors)")
    assert after[0] - before[0] <= GROWTH_MIB * revivals + NOISE_MIB
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 2
    assert len(socket_names(server)) <= names


def footprint(server: LiveServer) -> tuple[int, int, int]:
    process = server.server_process()
    return process.memory_full_info().uss >> 20, process.num_threads(), process.num_fds()


def socket_names(server: LiveServer) -> list[str]:
    return [str(each.laddr) for each in server.server_process().net_connections("unix") if each.laddr]
