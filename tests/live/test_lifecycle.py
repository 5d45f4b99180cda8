"""Start, kill and drain on the real engine. Runs before the other live tests: one engine is alive at a time."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from app.sockets import SocketFolder
from tests.live.server import READY_S, LiveServer, is_alive, sse_events

pytestmark = pytest.mark.engine

LONG = {"prompt": "Say hello", "temperature": 5, "seed": 1, "max_tokens": 400, "stream": True}


def test_start_kill_start_drain(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    orphans = start_and_kill(data_dir)
    server = LiveServer(data_dir).start()
    try:
        server.wait_ready()
        assert any(f"ended {len(orphans)} processes" in line for line in server.lines), server.lines
        assert not any(is_alive(orphan) for orphan in orphans)
        survive_the_engine_s_death(server)
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


def survive_the_engine_s_death(server: LiveServer) -> None:
    """kill -9 of vLLM's core under a stream: that reply ends in an error event, the next ones are right again."""
    before = server.text("What is Outworker?", "pirate")
    with server.client.stream("POST", server.path(), json=LONG) as answer:
        text = ""
        for piece in answer.iter_text():
            if not text:
                for process in server.engine_processes():
                    process.kill()
            text += piece
    assert json.loads(sse_events(text)[-1])["errors"][0]["code"] == 3043
    assert server.client.get("/ready").status_code == 503
    assert server.run({"prompt": "a"}).json()["errors"][0]["code"] == 3040
    deadline = time.monotonic() + READY_S
    while server.client.get("/ready").status_code != 200:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.2)
    assert server.text("What is Outworker?", "pirate") == before


def drain(server: LiveServer) -> None:
    """Signal the whole group, as Ctrl-C does, while a reply streams: the reply ends well, the engine is gone."""
    engine = server.engine_processes()
    began, said = threading.Event(), []

    def stream() -> None:
        with httpx.stream(
            "POST", server.url + server.path(), json=LONG, headers=server.authorization, timeout=60
        ) as answer:
            for text in answer.iter_text():
                said.append(text)
                began.set()

    reader = threading.Thread(target=stream)
    reader.start()
    assert began.wait(30)
    server.signal_group(signal.SIGINT)
    reader.join(60)
    events = sse_events("".join(said))
    assert events[-1] == "[DONE]"
    assert len(events) > 100
    assert server.process.wait(60) == 0
    psutil.wait_procs(engine, timeout=10)
    assert not any(is_alive(process) for process in engine)
