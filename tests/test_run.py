"""tests/run.sh: each test runs in one of its two parts, and what fails in either fails the whole."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from app.settings import CHECKOUT

SAMPLE = """
import os
from pathlib import Path
import pytest

def told(name, worker=os.environ.get("PYTEST_XDIST_WORKER", "none")):
    with Path("told").open("a") as file:
        file.write(f"{name} {worker != 'none'}\\n")
    assert name != os.environ.get("FAILING")

def test_plain(): told("plain")

@pytest.mark.alone
def test_alone(): told("alone")

@pytest.mark.engine
def test_engine(): told("engine")

@pytest.mark.engine
@pytest.mark.alone
def test_both(): told("both")
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script and the settings of pytest as they are, above four tests."""
    (tmp_path / "tests").mkdir()
    shutil.copy(CHECKOUT / "tests" / "run.sh", tmp_path / "tests")
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "tests" / "test_sample.py").write_text(SAMPLE)
    return tmp_path


def run(checkout: Path, *arguments: str, failing: str = "") -> int:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment = {**clean, "FAILING": failing}
    command = [str(checkout / "tests" / "run.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode


def told(checkout: Path) -> Counter[str]:
    return Counter((checkout / "told").read_text().splitlines())


@pytest.mark.parametrize("failing", ["plain", "both"])
def test_each_runs_once_and_a_failure_is_told(checkout: Path, failing: str) -> None:
    assert run(checkout, failing=failing) == 1
    assert told(checkout) == Counter({"plain True": 1, "alone False": 1, "engine False": 1, "both False": 1})


def test_what_is_named_runs_in_one_process(checkout: Path) -> None:
    assert run(checkout, *(f"tests/test_sample.py::test_{name}" for name in ("plain", "engine"))) == 0
    assert told(checkout) == Counter({"plain False": 1, "engine False": 1})
