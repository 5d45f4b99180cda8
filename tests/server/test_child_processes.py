"""app/server/child_processes.py: what a killed server left running is found by pid and start time, and ended."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.server.child_processes import ProcessRecord

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
FAMILY = """
import subprocess, sys, time
from pathlib import Path
from app.server.child_processes import ProcessRecord
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
ProcessRecord(Path(sys.argv[1])).write()
print(child.pid, flush=True)
time.sleep(60)
"""

ENDING = """
import subprocess, sys
import psutil
from app.server.child_processes import end_descendants
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
before = psutil.pid_exists(child.pid)
end_descendants()
print(before, psutil.pid_exists(child.pid))
"""


@pytest.fixture
def record(tmp_path: Path) -> ProcessRecord:
    return ProcessRecord(tmp_path / "processes.json")


def family(record: ProcessRecord) -> tuple["subprocess.Popen[str]", psutil.Process]:
    server = subprocess.Popen(
        [sys.executable, "-c", FAMILY, str(record.path)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    child = psutil.Process(int(server.stdout.readline()))
    server.stdout.close()
    return server, child


def test_a_killed_server_s_children_are_ended(record: ProcessRecord) -> None:
    server, child = family(record)
    server.kill()
    server.wait()
    assert child.is_running()
    assert record.end_leftovers() == 1
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not record.path.exists()
    assert record.end_leftovers() == 0


def test_a_living_server_is_not_touched(record: ProcessRecord) -> None:
    server, child = family(record)
    try:
        assert record.end_leftovers() == 0
        assert child.is_running()
    finally:
        server.kill()
        server.wait()
        record.end_leftovers()


def test_a_reused_pid_is_somebody_else(record: ProcessRecord) -> None:
    stranger = subprocess.Popen(SLEEPER)
    try:
        entry = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 100}
        record.path.write_text(json.dumps({"server": entry, "children": [entry]}))
        assert record.end_leftovers() == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"server": 5, "children": [null, {"pid": "x"}, {"pid": 99999999}]}']
)
def test_a_broken_record_is_no_record(record: ProcessRecord, content: str) -> None:
    record.path.write_text(content)
    assert record.end_leftovers() == 0


def test_descendants_are_ended() -> None:
    """In a process of its own: that of the tests has descendants which others need."""
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_the_record_is_replaced_whole(record: ProcessRecord) -> None:
    record.write()
    first = record.path.stat().st_ino
    time.sleep(0.01)
    record.write()
    assert record.path.stat().st_ino != first
    assert json.loads(record.path.read_text())["server"]["pid"] == os.getpid()
