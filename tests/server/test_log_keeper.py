"""app/server/{log_keeper,launcher}.py: a log that is bounded, and that goes on whatever happens to its file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.server import log_keeper
from app.server.log_keeper import LogKeeper
from tests.live.server import CHECKOUT, LiveServer

FAKE = CHECKOUT / "wrangler-like-config" / "fake-engine.toml"


def lines(*files: Path) -> list[str]:
    return [line for file in files if file.exists() for line in file.read_text().splitlines()]


def test_two_files_hold_the_newest_lines(tmp_path: Path, times: Callable[[int], int]) -> None:
    file, old = tmp_path / "server.log", tmp_path / "server.log.1"
    keeper = LogKeeper(file, 10_000)
    said = [f"line {number}" for number in range(times(400_000))]
    for start in range(0, len(said), 7):
        keeper.write(b"".join(f"{line}\n".encode() for line in said[start : start + 7]))
        assert file.stat().st_size <= 10_000
    kept = lines(old, file)
    assert old.stat().st_size <= 10_000
    assert kept == said[-len(kept) :], "every line is whole, in order, up to the last"
    assert len(kept) > 500
    assert file.stat().st_mode & 0o077 == 0


def test_a_file_that_is_deleted_or_moved_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "server.log"
    keeper = LogKeeper(file, 10_000)
    keeper.write(b"one\n")
    file.unlink()
    keeper.write(b"two\n")
    assert lines(file) == ["two"]
    file.rename(tmp_path / "elsewhere")
    keeper.write(b"three\n")
    assert lines(file) == ["three"]
    assert lines(tmp_path / "elsewhere") == ["two"]
    file.parent.rename(tmp_path / "other-logs")
    keeper.write(b"four\n")
    assert lines(file) == ["four"]


def test_a_disk_that_takes_nothing_holds_up_nobody(tmp_path: Path) -> None:
    """/dev/full takes no byte; the pipe is read on, and what comes when there is room again is written."""
    file = tmp_path / "server.log"
    keeper = LogKeeper(file, 10_000)
    os.dup2(os.open("/dev/full", os.O_WRONLY), keeper._file)
    keeper._is_there = lambda: True  # type: ignore[method-assign]
    keeper.write(b"lost\n")
    del keeper._is_there
    keeper.write(b"kept\n")
    assert lines(file) == ["kept"]


def test_it_ends_with_the_last_of_those_who_write(tmp_path: Path) -> None:
    """The server, and an engine that lives a little longer; Ctrl-C and SIGTERM to the keeper do nothing."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-I", "-S", log_keeper.__file__, str(tmp_path / "log"), "100000"]
    keeper = subprocess.Popen(command, stdin=read_end)
    os.close(read_end)
    os.write(write_end, b"begun\n")
    wait_for(lambda: lines(tmp_path / "log") == ["begun"])
    engine = os.dup(write_end)
    os.close(write_end)
    for number in (signal.SIGINT, signal.SIGTERM):
        keeper.send_signal(number)
    os.write(engine, b"last words")
    os.close(engine)
    assert keeper.wait(10) == 0
    assert lines(tmp_path / "log") == ["begun", "last words"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path / "data", FAKE).start().wait_ready()
    yield server
    server.stop()


def test_a_running_server_s_log(server: LiveServer) -> None:
    """Deleted; moved and SIGHUP; its owner killed; the launcher stopped by Ctrl-Z: the log goes on, and so do answers."""
    file = server.data_dir / "server.log"
    assert any("start-up: ready" in line for line in lines(file))
    writes = f"/proc/{server.server_process().pid}/fd/2"  # what an engine's process has too

    def say(text: str) -> None:
        with Path(writes).open("a") as errors:
            errors.write(f"{text}\n")

    file.unlink()
    say("after the deletion")
    wait_for(lambda: lines(file) == ["after the deletion"])
    file.rename(server.data_dir / "moved")
    server.process.send_signal(signal.SIGHUP)
    wait_for(file.exists)
    say("after SIGHUP")
    wait_for(lambda: lines(file) == ["after SIGHUP"])
    keeper = keeper_of(server)
    keeper.kill()
    keeper.wait(10)  # one that is dying may still take what was said, and then it is lost with it
    say("after the keeper's death")
    wait_for(lambda: lines(file)[-1:] == ["after the keeper's death"])
    server.process.send_signal(signal.SIGSTOP)
    for _ in range(100):
        say("x" * 10_000)
    assert server.run({"prompt": "a"}).status_code == 200
    wait_for(lambda: file.stat().st_size > 900_000)
    server.process.send_signal(signal.SIGCONT)
    assert server.process.poll() is None


def test_who_reads_a_killed_launcher_hears_its_end(server: LiveServer) -> None:
    """The keeper outlives it, as an engine may that has the log open: what it holds is not the launcher's output."""
    left = server.server_process()
    left.suspend()
    keeper = keeper_of(server)
    server.process.kill()
    server.process.wait(10)
    server._reader.join(10)
    try:
        assert not server._reader.is_alive()
        assert keeper.is_running()
    finally:
        left.kill()


def keeper_of(server: LiveServer) -> psutil.Process:
    (keeper,) = (
        child
        for child in psutil.Process(server.process.pid).children()
        if "log_keeper" in str(child.cmdline())
    )
    return keeper


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to it")
