"""The environment: whatever an installation that broke off left, the next one makes it whole."""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from requirements.environment import Environment
from requirements.lists import Pin
from requirements.pip import NotInIndex, Pip
from requirements.progress import Progress
from requirements.refusal import Refusal
from tests.requirements.wheels import build_wheel, hash_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("checkout") / ".venv")
    assert environment.prepare()
    return environment


MISSING = {
    "the last file of venv": "bin/activate",
    "pip": "lib/python3*/site-packages/pip",
    "half of pip": "lib/python3*/site-packages/pip/_internal/cli/main.py",
    "the script of pip": "bin/pip",
    "python": "bin/python",
    "all programs": "bin",
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_found(made: Environment, what: str, tmp_path: Path) -> None:
    assert made.works()
    missing = next(made.path.glob(MISSING[what]))
    with moved(missing, tmp_path / "kept"):
        assert not made.works()


def test_a_python_that_went_away(made: Environment, tmp_path: Path) -> None:
    with moved(made.python, tmp_path / "kept"):
        made.python.symlink_to("/nowhere/python3")
        assert not made.works()


def test_a_checkout_that_was_moved(made: Environment, tmp_path: Path) -> None:
    """Scripts name their place: none of them starts."""
    with moved(made.path / "bin" / "pip", tmp_path / "kept"):
        (made.path / "bin" / "pip").write_text("#!/elsewhere/.venv/bin/python\n")
        assert not made.works()


def test_it_is_made_anew(tmp_path: Path) -> None:
    environment = Environment(tmp_path / ".venv")
    (environment.path / "bin").mkdir(parents=True)
    (environment.path / "left").write_text("of the broken one")
    assert environment.prepare()
    assert environment.works()
    assert not (environment.path / "left").exists()


def test_what_works_stays(made: Environment) -> None:
    (made.path / "mine").touch()
    assert not made.prepare()
    assert (made.path / "mine").exists()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / ".venv").touch()
    with pytest.raises(Refusal, match=r"\.venv: is not a folder; delete it"):
        Environment(tmp_path / ".venv").prepare()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refusal, match="link: is not a folder; delete it"):
        Environment(tmp_path / "link").prepare()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Pin]:
    """Three of 600 files each, which lie where pip is told to look."""
    names = [f"outworker-example-{number}" for number in range(3)]
    wheels = [build_wheel(tmp_path, name, files=600) for name in names]
    for key, value in (("INDEX", "1"), ("FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(f"PIP_{'NO_' if key == 'INDEX' else ''}{key}", value)
    return [Pin(name, "1.0", (hash_of(wheel),)) for name, wheel in zip(names, wheels, strict=True)]


@pytest.fixture
def listed(packages: list[Pin], tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{pin.name}=={pin.version} --hash=sha256:{pin.hashes[0]}\n" for pin in packages))
    return path


def test_an_installation_killed_at_any_moment(
    made: Environment, packages: list[Pin], listed: Path, times: Callable[[int], int]
) -> None:
    """pip unpacks for a second: killed within it, and then completed."""
    for number in range(times(120)):
        moment_s = random.Random(number).uniform(0.1, 1.2)
        remove_examples(made)
        command = [str(made.python), "-m", "pip", "install", "--no-deps", "-q", "-r", str(listed)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment_s)
        process.send_signal(random.Random(number).choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM]))
        process.wait()
        assert not made.prepare()
        Pip(made, Progress(io.StringIO())).install_list(listed, packages, 1)
        assert {pin.name for pin in packages} <= made.installed()
        for pin in packages:
            folder = next(made.path.glob(f"lib/python3*/site-packages/{pin.name.replace('-', '_')}"))
            assert len(list(folder.glob("file_*.txt"))) == 600, (number, moment_s)


def test_a_package_with_metadata_alone_is_installed_again(
    made: Environment, packages: list[Pin], listed: Path
) -> None:
    remove_examples(made)
    site = next(made.path.glob("lib/python3*/site-packages"))
    torn = site / "outworker_example_0-1.0.dist-info"
    torn.mkdir()
    (torn / "METADATA").write_text("Metadata-Version: 2.1\nName: outworker-example-0\nVersion: 1.0\n")
    made.prepare()
    Pip(made, Progress(io.StringIO())).install_list(listed, packages, 1)
    assert (site / "outworker_example_0" / "file_0.txt").exists()


def test_another_file_under_the_same_name_is_not_installed(
    made: Environment, packages: list[Pin], listed: Path, tmp_path: Path
) -> None:
    remove_examples(made)
    build_wheel(tmp_path, packages[0].name, files=2)
    with pytest.raises(Refusal, match="a file that is not the published one"):
        Pip(made, Progress(io.StringIO())).install_list(listed, packages, 1)
    assert packages[0].name not in made.installed()


def test_an_index_that_is_not_there(
    made: Environment, packages: list[Pin], listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_examples(made)
    for name, value in (("NO_INDEX", "0"), ("FIND_LINKS", ""), ("CONFIG_FILE", os.devnull), ("RETRIES", "0")):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(Refusal, match="the package index can't be reached: check the network") as refused:
        Pip(made, Progress(io.StringIO())).install_list(listed, packages, 1)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("constraint", ["", "outworker-example-0<3"])
def test_a_release_that_no_index_has(
    made: Environment, packages: list[Pin], listed: Path, constraint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller asks another index then; with a constraint pip calls it a conflict."""
    remove_examples(made)
    listed.write_text(listed.read_text().replace("==1.0", "==2.0", 1))
    (listed.parent / "constraints.txt").write_text(constraint)
    monkeypatch.setenv("PIP_CONSTRAINT", str(listed.parent / "constraints.txt"))
    with pytest.raises(NotInIndex, match=r"has no file of a listed version .* or a constraint of pip's"):
        Pip(made, Progress(io.StringIO())).install_list(listed, packages, 1)


def remove_examples(environment: Environment) -> None:
    for path in environment.path.glob("lib/python3*/site-packages/outworker_example_*"):
        shutil.rmtree(path)


@contextmanager
def moved(path: Path, elsewhere: Path) -> Iterator[None]:
    shutil.move(path, elsewhere)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        shutil.move(elsewhere, path)


def test_the_interpreter_of_the_tests_is_one_that_is_supported() -> None:
    assert (3, 11) <= sys.version_info < (3, 14)
