"""Hints name a command that works where the person is."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.program import program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with an environment of this very Python, whose script prints that it ran."""
    script = tmp_path / "my checkout" / ".venv-light" / "bin" / "outworker"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho it ran\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(script.parents[1]))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return script


def runs(command: str) -> bool:
    return (
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False).stdout
        == "it ran\n"
    )


def test_in_the_checkout(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installed.parents[2])
    assert program() == ".venv-light/bin/outworker"
    assert runs(program())


@pytest.mark.parametrize("place", ["/usr", "app"])
def test_elsewhere(installed: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and quoted for the shell: the checkout's name has a space."""
    folder = installed.parents[2] / place
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    assert program() == f"'{installed}'"
    assert runs(program())


def test_on_the_path(installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{installed.parent}:/usr/bin:/bin")
    assert program() == "outworker"
    assert runs(program())
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "outworker").symlink_to(installed)
    monkeypatch.setenv("PATH", f"{tmp_path / 'link'}:/usr/bin:/bin")
    assert program() == "outworker"


def test_another_one_on_the_path(installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other" / "outworker"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho another\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{other.parent}:/usr/bin:/bin")
    assert runs(program())


def test_another_program_of_the_installation(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installed.parents[2])
    (installed.parent / "hf").touch(0o755)
    assert program("hf") == ".venv-light/bin/hf"
    assert program("nothing-of-that-name") == "nothing-of-that-name"
