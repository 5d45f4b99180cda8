"""A data directory on a file system that is full to the last byte: a tmpfs that only the test's own processes see."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.live.server import CHECKOUT

OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
pytestmark = pytest.mark.skipif(
    subprocess.run([*OWN_MOUNTS, "true"], check=False, capture_output=True).returncode != 0,
    reason="this machine lets nobody mount a small file system",
)


def on_a_full_disk(folder: Path, *arguments: str) -> Mapping[str, Any]:
    """What each step of `tests.full_disk` came to; none showed a stack or a hash."""
    command = [*OWN_MOUNTS, sys.executable, "-m", "tests.full_disk", str(folder), *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    steps: Mapping[str, Any] = json.loads(done.stdout)
    for name, step in steps.items():
        said = step["out"] + step["err"]
        assert "Traceback" not in said, (name, said)
        assert "sha256" not in said, (name, said)
        if step["status"] == 2:
            assert len(said.strip().splitlines()) == 1, (name, said)
            assert said.startswith("outworker: "), (name, said)
    return steps


def statuses(steps: Mapping[str, Any]) -> dict[str, int]:
    return {name: step["status"] for name, step in steps.items()}


def test_what_makes_is_refused_in_one_line_and_what_ends_works(tmp_path: Path) -> None:
    steps = on_a_full_disk(tmp_path, "without_a_server")
    assert statuses(steps) == {
        "made": 0,
        "added": 0,
        "create": 2,
        "list": 0,
        "revoke": 0,
        "revoke again": 2,
        "revoke another": 0,
        "add": 2,
        "backup": 2,
        "remove": 0,
        "revoke without room": 2,
        "list without room": 2,
        "serve": 2,
        "listed": 0,
    }
    assert "no token has this id" in steps["revoke again"]["err"]
    for name in ("create", "revoke without room", "list without room"):
        assert "disk is full" in steps[name]["err"]
    assert len(steps["listed"]["out"].splitlines()) == 1


def test_under_a_running_server(tmp_path: Path) -> None:
    steps = on_a_full_disk(tmp_path, "under_a_server")
    assert statuses(steps) == {
        "made": 0,
        "create": 2,
        "revoke": 0,
        "revoked": 401,
        "kept": 200,
        "created": 507,
        "deleted": 200,
        "deleted too": 200,
        "left": 200,
        "log": 0,
    }
    assert json.loads(steps["left"]["out"])["result"] == []


def test_the_room_kept_back_lasts(tmp_path: Path, times: Callable[[int], int]) -> None:
    """A disk that somebody fills again after each revocation."""
    assert on_a_full_disk(tmp_path, "many", str(times(2000)))["many"]["out"] == "0"


def test_a_token_that_could_not_be_shown_is_revoked(tmp_path: Path) -> None:
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "app.cli.main", "token"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "create", "--account", "a", "--new-account", "--scope", "ai:read"],
            cwd=CHECKOUT,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "outworker: the output: No space left on device; the token could not be shown and is revoked\n"
    )
    listed = subprocess.run(
        [*command, "list"], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    assert listed.stdout == ""


@pytest.mark.parametrize("command", [["weights", "list"], ["weights", "show", "awq"], ["token", "list"]])
def test_an_output_that_takes_nothing_is_one_line(tmp_path: Path, command: list[str]) -> None:
    environment = {**os.environ, "OUTWORKER_DATA_DIR": str(tmp_path)}
    create = ["token", "create", "--account", "local", "--scope", "ai:read"]
    program = [sys.executable, "-m", "app.cli.main"]
    subprocess.run([*program, *create], cwd=CHECKOUT, env=environment, check=True, capture_output=True)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*program, *command],
            cwd=CHECKOUT,
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "No space left on device" in done.stderr
