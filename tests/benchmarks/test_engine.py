import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks.arms import NATIVE, OPENAI, SAME, STOCK, Arm
from benchmarks.engine import asleep, awake, order
from benchmarks.figures import Sample, figures_of
from benchmarks.picture import draw
from benchmarks.processes import Child
from benchmarks.tables import COLUMNS, notes, sheet
from benchmarks.targets import TARGETS, targets_sheet
from benchmarks.workload import CASES, Work

TURN = Sample(
    arm=OPENAI,
    case="short",
    clients=64,
    seconds=2.0,
    streams=128,
    tokens=2000,
    first_p50_s=0.010,
    first_p99_s=0.020,
    gap_p99_s=0.005,
    server_cpu_s=0.1,
    engine_cpu_s=1.0,
    rss_bytes=300 * 1024**2,
)
SLOWER = replace(TURN, arm=STOCK, seconds=4.0, first_p50_s=0.020, server_cpu_s=0.4)


def test_a_turn_of_each_arm_is_mirrored() -> None:
    arms = [Arm(name, psutil.Process(), lambda job: Work(0.0, [])) for name in (NATIVE, OPENAI, STOCK, SAME)]
    servers = [arms[:2], arms[2:3], arms[3:]]
    turns = [
        (arm.name, number)
        for several, numbers in order(CASES[0], servers)
        for arm in several
        for number in numbers
    ]
    assert turns == turns[::-1]
    assert set(turns) == {(arm.name, number) for arm in arms for number in (1, 16, 64)}
    once = [arm.name for several, _ in order(CASES[-1], servers) for arm in several]
    assert once == [arm.name for arm in arms]


def test_figures_are_medians_and_cpu_is_of_all_turns() -> None:
    turns = [TURN, replace(TURN, seconds=1.0, server_cpu_s=0.3), replace(TURN, clients=1), SLOWER]
    figures = figures_of(turns, "short", 64, OPENAI)
    assert (figures.streams_per_s, figures.streams_range, figures.tokens_per_s) == (
        96.0,
        (64.0, 128.0),
        1500.0,
    )
    assert (figures.first_p50_ms, figures.first_p99_ms, figures.gap_p99_ms) == (10.0, 20.0, 5.0)
    assert figures.server_cpu_s == pytest.approx(0.1)
    assert figures.rss_mib == 300


def test_a_table_has_a_row_for_each_arm_and_number_of_clients() -> None:
    table = sheet("short", [TURN, SLOWER])
    assert [row[:3] for row in table.rows] == [(OPENAI, "64", "64.00"), (STOCK, "64", "32.00")]
    assert [row[-3:] for row in table.rows] == [("1.00", "1.00", "1.00"), ("2.00", "0.50", "0.25")]
    assert {len(row) for row in table.rows} == {len(COLUMNS)}
    assert all(notes())


def test_targets_say_met_or_missed_and_nothing_where_nobody_was_asked() -> None:
    table = targets_sheet(["short"], [TURN, SLOWER, replace(SLOWER, arm=SAME, server_cpu_s=0.15)])
    cells = {row[:3]: row[-1] for row in table.rows}
    assert cells["streams/s", "64", STOCK] == "2.000 met"
    assert cells["server CPU per token", "64", SAME] == "0.667 missed"
    assert cells["server RSS", "64", SAME] == "1.000 met"
    assert cells["streams/s", "16", STOCK] == "-"
    assert len(table.rows) == len(TARGETS)


def test_the_picture_names_what_it_shows() -> None:
    picture = draw(["short"], [TURN, SLOWER])
    assert picture.startswith(b"<?xml")
    assert b"server RSS, MiB" in picture


def test_only_one_server_runs_at_a_time(tmp_path: Path) -> None:
    script = "import subprocess; subprocess.run(['sleep', '60'])"
    with Child([sys.executable, "-c", script], tmp_path / "log") as child:
        child.wait_until(lambda: len(child.descendants()) == 1, 20)
        server = psutil.Process(child.process.pid)
        family = [server, *child.descendants()]
        with asleep([server]):
            assert settled(family, psutil.STATUS_STOPPED)
            with awake(server):
                assert settled(family, psutil.STATUS_SLEEPING)
            assert settled(family, psutil.STATUS_STOPPED)
        assert settled(family, psutil.STATUS_SLEEPING)


def settled(family: list[psutil.Process], status: str) -> bool:
    """Whether all get into this state; a signal takes a moment."""
    deadline = time.monotonic() + 10
    while any(process.status() != status for process in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
