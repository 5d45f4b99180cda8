"""app/server_lock.py: one holder, whoever it is, until it ends however it ends."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.errors import StartupError
from app.server_lock import LOCK_FILE, ServerLock, is_held

ROOT = Path(__file__).parents[1]
HOLDER = """
import subprocess, sys
from pathlib import Path
from app.server_lock import ServerLock
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
        cwd=ROOT,
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
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / LOCK_FILE).symlink_to(tmp_path / "elsewhere")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link", Path("/proc/nowhere")):
        with pytest.raises(StartupError, match="OUTWORKER_DATA_DIR") as refused:
            ServerLock.take(folder)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "elsewhere").exists()


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
