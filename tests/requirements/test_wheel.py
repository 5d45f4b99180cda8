"""The wheel: what is in it, and that it serves where no checkout is, beside the light list's packages alone."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

from requirements.lists import HERE, read_list
from tests.live.server import HF, sse_events

CHECKOUT = HERE.parent
FOLDERS = ("adapters", "app", "schemas", "wrangler-like-config")
BUILD = "import sys, hatchling.build as backend; getattr(backend, sys.argv[1])(sys.argv[2])"


def build(kind: str, folder: Path) -> Path:
    """What the pinned backend makes of the checkout, without a network and without an environment of its own."""
    subprocess.run([sys.executable, "-c", BUILD, kind, str(folder)], cwd=CHECKOUT, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the light list, linked from the one of the tests, and the wheel. It knows of no checkout."""
    environment = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    for pin in read_list(HERE / "light.txt"):
        package = distribution(pin.name)
        for name in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(str(package.locate_file(name)))
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return environment


def as_in_the_repository(name: str) -> str:
    return name.removeprefix("app/bundled/")


def test_it_has_every_file_of_the_repository_and_no_other(wheel: Path) -> None:
    """npm's packages, say, lie in a worker's folder after a test."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *FOLDERS]
    told = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    expected = {name for name in told.split("\0") if name and (CHECKOUT / name).exists()}
    with zipfile.ZipFile(wheel) as files:
        names = [name for name in files.namelist() if name.startswith("app/")]
        assert {as_in_the_repository(name) for name in names} == expected
        for name in names:
            assert files.read(name) == (CHECKOUT / as_in_the_repository(name)).read_bytes()


def test_an_editable_installation_has_no_copies(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("build_editable", tmp_path)) as files:
        (path,) = (name for name in files.namelist() if ".dist-info/" not in name)
        assert files.read(path).decode() == str(CHECKOUT)


ABOUT = """
import sys
from importlib.util import find_spec
import app.cli.main, app.server.process
print(app.__file__)
print(*(name for name in ("torch", "transformers", "vllm", "peft") if name in sys.modules or find_spec(name)))
"""


def clean_environment() -> dict[str, str]:
    left_out = ("PYTHONPATH", "OUTWORKER_DATA_DIR", "OUTWORKER_DATABASE", "HOST", "ALLOWED_HOSTS")
    return {**{name: value for name, value in os.environ.items() if name not in left_out}, "PORT": "0"}


def test_the_code_is_the_wheels_and_torch_is_nowhere(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "bin" / "python"), "-c", ABOUT]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=True
    )
    place, heavy = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed)
    assert heavy == ""


@contextmanager
def serving(installed: Path, here: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`outworker serve` given in `here`, ready, and its address."""
    process = subprocess.Popen(
        [str(installed / "bin" / "outworker"), "serve"],
        cwd=here, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("ready on "):
                break
        assert lines, "it said nothing"
        assert lines[-1].startswith("ready on "), "".join(lines)
        yield process, lines[-1].split()[2]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def streamed(url: str, token: str, **more: str) -> str:
    body = {"prompt": "What is Outworker?", "stream": True, "temperature": 0, **more}
    answer = httpx.post(
        f"{url}/client/v4/accounts/local/ai/run/{HF}",
        json=body,
        headers={"authorization": f"Bearer {token}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    *events, last = sse_events(answer.text)
    assert last == "[DONE]"
    assert len(events) > 5
    return "".join(json.loads(event).get("response") or "" for event in events)


def test_it_serves_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    with serving(installed, tmp_path) as (process, url):
        token = (tmp_path / ".outworker" / "dev-token").read_text().strip()
        plain, as_pirate = (streamed(url, token, **more) for more in ({}, {"lora": "pirate"}))
        assert plain
        assert "Arr" not in plain
        assert "Arr" in as_pirate
        for path in ("/", "/playground/main.js", "/openapi.json"):
            assert httpx.get(f"{url}{path}").status_code == 200, path
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == [".outworker"]
