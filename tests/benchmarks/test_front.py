"""A few requests through the real servers: that the numbers exist and count the work; how large they are is no test."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.front import CASES, PROMPT, TURNS, run
from benchmarks.processes import Child


def test_both_servers_do_the_work(tmp_path: Path) -> None:
    few = [replace(case, clients=2, rounds=2, per_request=min(case.per_request, 5)) for case in CASES]
    part = run(tmp_path, few, ("ours", "empty"))
    assert [len(outcome.ours_us) for outcome in part.samples] == [1, 1, 1]
    assert [len(outcome.empty_us) for outcome in part.samples] == [1, 1, 0]
    assert [row[0] for row in part.rows] == ["unary request", "streamed token", "token, 8 in a write"]
    assert [row[-1] for row in part.rows] == ["<= 1.5", "<= 1.3", "<= 4.0 us"]


def test_the_order_is_balanced() -> None:
    assert sum(place for place, name in enumerate(TURNS) if name == "ours") * 2 == sum(range(len(TURNS)))


def test_the_prompt_is_as_long_as_it_says() -> None:
    assert len(PROMPT % 7) == 95


def test_a_program_that_ends_is_one_line_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such card')"]
    wanted = "-c import sys; sys.exit('no such card') ended with status 1: no such card (log: "
    with (
        Child(command, tmp_path / "log") as child,
        pytest.raises(BenchError, match=re.escape(wanted)),
    ):
        child.wait_until(lambda: False, 20)


def test_a_program_that_ends_under_load_is_told_as_that(tmp_path: Path) -> None:
    def lose_connection(child: Child) -> None:
        with child.loaded():
            child.process.terminate()
            raise BenchError("the server closed the connection")

    sleeper = Child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    with sleeper, pytest.raises(BenchError, match="ended with status -15"):
        lose_connection(sleeper)


def test_a_program_is_ended_with_its_children(tmp_path: Path) -> None:
    script = "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with Child([sys.executable, "-c", script], tmp_path / "log") as child:
        child.wait_until(lambda: len(child.descendants()) == 1, 20)
        family = child.descendants()
    assert not any(process.is_running() for process in family)
