"""app/data_dir/server_lock.py: one holder, whoever it is, until it ends however it ends."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.data_dir.server_lock import LOCK_FILE, ServerLock, is_held
from app.errors import StartupError
from app.files import folder_lock
from app.settings import CHECKOUT

HOLDER = """
import subprocess, sys
from pathlib import Path
from app.data_dir.server_lock import ServerLock
ServerLock.take(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock, and has a child."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield process
    finally:
        process.kill()
        subprocess.run(["kill", "-9", str(child)], check=False)  # it has the pipe, whose end is waited for
        process.communicate()


def test_the_loser_hears_who_and_which_setting_to_change(tmp_path: Path) -> None:
    with holder(tmp_path) as other, pytest.raises(StartupError) as refused:
        ServerLock.take(tmp_path)
    assert f"another server (pid {other.pid}) uses {tmp_path}" in str(refused.value)
    assert "OUTWORKER_DATA_DIR" in str(refused.value)


def test_it_is_free_when_its_holder_was_killed_though_a_child_lives(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.kill()
        other.wait()
        ServerLock.take(tmp_path).release()


def test_it_is_free_after_release(tmp_path: Path) -> None:
    ServerLock.take(tmp_path / "new").release()
    lock = ServerLock.take(tmp_path / "new")
    with pytest.raises(StartupError):
        ServerLock.take(tmp_path / "new")
    lock.release()


@pytest.mark.parametrize("content", ["", "4194304\n", "\0" * 64, "no pid", "1" * 500])
def test_what_the_file_says_decides_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / LOCK_FILE).write_text(content)
    ServerLock.take(tmp_path).release()


def test_a_folder_that_cannot_have_one_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(StartupError, match="OUTWORKER_DATA_DIR") as refused:
            ServerLock.take(folder)
        assert "\n" not in str(refused.value)


def listen(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to(path.with_name("elsewhere")),
        lambda path: path.symlink_to(path),
        lambda path: (path.with_name("target").touch(), path.symlink_to("target")),
        lambda path: path.mkdir(),
        os.mkfifo,
        listen,
    ],
)
def test_a_lock_that_is_not_a_plain_file_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / LOCK_FILE
    make(path)
    with pytest.raises(StartupError) as refused:
        ServerLock.take(tmp_path)
    assert str(refused.value) == f"{path}: not a plain file; delete it, then start again"
    assert not (tmp_path / "elsewhere").exists()
    assert not is_held(tmp_path)


@pytest.mark.parametrize("replacement", [None, "", "4194304\n"])
def test_it_holds_though_its_file_is_deleted(tmp_path: Path, replacement: str | None) -> None:
    with holder(tmp_path) as other:
        for _ in range(3):
            (tmp_path / LOCK_FILE).unlink()
            if replacement is not None:
                (tmp_path / LOCK_FILE).write_text(replacement)
            assert is_held(tmp_path)
            with pytest.raises(StartupError, match="OUTWORKER_DATA_DIR"):
                ServerLock.take(tmp_path)
        with folder_lock(tmp_path):
            pass  # what else locks the folder for a moment does not wait for the server
        other.kill()
        other.wait()
        assert not is_held(tmp_path)
        ServerLock.take(tmp_path).release()


def test_of_many_that_take_it_while_its_file_is_deleted_one_has_it(tmp_path: Path) -> None:
    taking = threading.Barrier(8)

    def take(_: int) -> ServerLock | None:
        taking.wait()
        (tmp_path / LOCK_FILE).unlink(missing_ok=True)
        try:
            return ServerLock.take(tmp_path)
        except StartupError:
            return None

    with ThreadPoolExecutor(8) as threads:
        for _ in range(50):
            (had,) = (lock for lock in threads.map(take, range(8)) if lock is not None)
            had.release()


def test_who_asks_whether_it_is_held_keeps_nobody_from_it(tmp_path: Path) -> None:
    ServerLock.take(tmp_path).release()
    with ThreadPoolExecutor(1) as other:
        asking = True

        def ask() -> None:
            while asking:
                is_held(tmp_path)

        asked = other.submit(ask)
        try:
            for _ in range(500):
                ServerLock.take(tmp_path).release()
        finally:
            asking = False
        asked.result()
