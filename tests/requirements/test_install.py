"""requirements/install.sh as a person meets it: what it says before it does anything, and how it ends."""

import fcntl
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from requirements import install, running
from requirements.environment import Environment
from requirements.lists import HERE
from requirements.progress import Progress
from requirements.refusal import Refusal

TOOLS = ("bash", "dirname", "env")
NAMES = ("python3", "python3.11", "python3.12", "python3.13")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH without any Python: what a test puts there is found, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name in NAMES:
        stub(folder / name, "exit 127")
    return folder


def stub(file: Path, script: str) -> None:
    file.write_text(f"#!{shutil.which('bash')}\n{script}\n")
    file.chmod(0o755)


def run(path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HERE / "install.sh", *arguments],
        env={"PATH": str(path), "HOME": str(path.parent), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def the_line(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("outworker: ")
    return line


def test_no_python(path: Path) -> None:
    line = the_line(run(path))
    assert "no Python 3.11, 3.12 or 3.13 was found: install" in line
    assert "apt install python3 python3-venv" in line


def test_only_pythons_of_other_versions(path: Path) -> None:
    """Too old, too new: their answer to the question is no."""
    for name in NAMES:
        stub(path / name, 'case "$*" in *print*) echo 3.14;; *) exit 1;; esac')
    assert "was found (python3 is 3.14): install one with venv" in the_line(run(path))


def test_a_python_without_venv(path: Path) -> None:
    """Debian's python3 has the module venv; ensurepip comes with python3-venv."""
    without = f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    stub(path / "python3.12", without)
    line = the_line(run(path))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"install python{version}-venv" in line
    assert str(path / "python3.12") in line


def test_another_python_that_has_venv_is_taken(path: Path) -> None:
    stub(path / "python3", f'case "$*" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"')
    stub(path / "python3.13", f'exec {sys.executable} "$@"')
    assert 'ENGINE: expected llamacpp (the light installation) or vllm, found "tgi"' in the_line(
        run(path, ENGINE="tgi")
    )


@pytest.mark.parametrize("python", ["/nowhere/python3", "python3.12", "/bin/false"])
def test_the_python_that_was_asked_for(path: Path, python: str) -> None:
    assert f"PYTHON={python}: is not Python 3.11, 3.12 or 3.13" in the_line(run(path, PYTHON=python))


@contextmanager
def server_on(data_dir: Path) -> Iterator[None]:
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / running.LOCK_FILE).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, ".outworker"),
        ({"OUTWORKER_DATA_DIR": "other"}, "other"),
        ({"OUTWORKER_DATA_DIR": ""}, ".outworker"),
        ({"ARGS": "--auto --config mine.toml"}, "mine"),
        ({"ARGS": "--config=mine.toml --env test"}, "test"),
        ({"ARGS": "--config mine.toml", "OUTWORKER_DATA_DIR": "other"}, "other"),
    ],
)
def test_a_second_server_is_refused(environ: dict[str, str], place: str, tmp_path: Path) -> None:
    (tmp_path / "wrangler-like-config").mkdir()
    shutil.copy(HERE.parent / running.DEFAULT_CONFIG, tmp_path / running.DEFAULT_CONFIG)
    (tmp_path / "mine.toml").write_text('[server]\ndata_dir = "mine"\n[env.test.server]\ndata_dir = "test"\n')
    running.refuse_second_server(tmp_path, environ)
    for other in {".outworker", "mine", "test", "other"} - {place}:
        with server_on(tmp_path / other):
            running.refuse_second_server(tmp_path, environ)
    with server_on(tmp_path / place), pytest.raises(Refusal, match="set OUTWORKER_DATA_DIR") as refused:
        running.refuse_second_server(tmp_path, environ)
    assert str(tmp_path / place) in str(refused.value)
    running.refuse_second_server(tmp_path, environ)  # the lock went with its server


@pytest.mark.parametrize("args", ["--config none.toml", "--config 'unclosed", "--config mine.jsonc"])
def test_settings_that_only_the_server_reads(args: str, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonc").write_text("{}")
    with server_on(tmp_path / ".outworker"):
        running.refuse_second_server(tmp_path, {"ARGS": args})


def test_make_serve_asks_first(path: Path, tmp_path: Path) -> None:
    stub(path / "python3", f'exec {sys.executable} "$@"')
    with server_on(tmp_path / "data"):
        line = the_line(run(path, "serve", OUTWORKER_DATA_DIR=str(tmp_path / "data")))
        assert f"another server uses {tmp_path / 'data'}" in line
        assert "OUTWORKER_DATA_DIR=.outworker-2 PORT=8789 make serve" in line


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The free bytes that the machine tells of."""
    free = [0]
    usage = shutil.disk_usage(HERE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free[0]))
    return free


@pytest.mark.parametrize("installation", [install.CPU, install.CUDA, install.LIGHT, install.DEV])
def test_the_disk_is_looked_at_first(
    installation: install.Installation, disk: list[int], tmp_path: Path
) -> None:
    environment = Environment(tmp_path / ".venv")
    with pytest.raises(Refusal, match=r"of disk are needed in .*, 0 MB are free: free some"):
        install.install(environment, installation, "")
    assert not environment.path.exists()
    disk[0] = 100_000_000_000
    install._check_room(environment, installation)


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    environment = Environment(tmp_path / ".venv")
    assert not install.is_installed(environment, install.LIGHT)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    (tmp_path / ".venv" / "bin" / "outworker").write_text(f"#!{environment.python}\n")
    stamp = tmp_path / ".venv" / ".installed-light"
    stamp.write_text(install._checksum(install.LIGHT))
    assert install.is_installed(environment, install.LIGHT)
    stamp.write_text(install._checksum(install.CPU))
    assert not install.is_installed(environment, install.LIGHT)
    stamp.write_text(install._checksum(install.LIGHT))
    (tmp_path / ".venv" / "bin" / "outworker").write_text("#!/elsewhere/.venv/bin/python\n")
    assert not install.is_installed(environment, install.LIGHT)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_for_who_watches() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.begin("the list cpu")
    progress.show("cpu: fetching", 50, 200, "MB")
    progress.show("cpu: fetching", 300, 200, "MB")
    progress.end()
    *_, quarter, whole = stream.getvalue().split("\r\x1b[K")
    assert "[######..................] 50 of 200 MB" in quarter
    assert "[########################] 300 of 200 MB\n" in whole


def test_a_line_per_step_elsewhere() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.begin("the list cpu")
    for done in range(0, 101):
        progress.show("cpu: fetching", done, 100, "MB")
    progress.show("cpu: unpacking", 30, 100, "packages")
    progress.end()
    assert stream.getvalue().splitlines() == [
        "  the list cpu",
        *(f"  cpu: fetching: {done} of 100 MB" for done in (25, 50, 75, 100)),
        "  cpu: unpacking: 30 of 100 packages",
    ]


def test_an_interrupted_installation_says_what_goes_on(path: Path, tmp_path: Path) -> None:
    """Ctrl-C while it waits for another one; nothing is installed by this test."""
    program = """
import os, signal, sys
from requirements import install
install.is_installed = lambda *given: False
install.install = lambda *given: os.kill(os.getpid(), signal.NUMBER)
sys.exit(install.main(["", ""]))
"""
    for number in ("SIGINT", "SIGTERM"):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("NUMBER", number)],
            cwd=HERE.parent, capture_output=True, text=True, check=False, env=os.environ,
        )  # fmt: skip
        assert done.returncode == install.INTERRUPTED
        assert (
            done.stderr.strip()
            == "outworker: the installation was interrupted: the same command goes on with it"
        )
