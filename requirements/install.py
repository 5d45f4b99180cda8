"""Install what a target of the Makefile needs: `python -m requirements.install TORCH_INDEX [serve | dev]`.

Run again it installs nothing: a stamp holds the checksum of what was asked for. Broken off at any moment, it goes on.
Runs on the bare Python of the machine.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from requirements.environment import Environment
from requirements.lists import HERE, Pin, read_list
from requirements.pip import NotInIndex, Pip
from requirements.progress import MEGABYTE, Progress
from requirements.refusal import Refusal
from requirements.running import refuse_second_server

CHECKOUT = HERE.parent
GPU_QUESTION_S = 20
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Installation:
    """A set of packages: the lists that it has, how much is fetched, and how much lies on the disk then."""

    stamp: str
    title: str
    lists: tuple[str, ...]
    download_mb: int
    disk_mb: int


CPU = Installation("cpu", "vLLM for this machine's CPU, and what it needs", ("torch-cpu", "cpu"), 700, 3_300)
CUDA = Installation("cuda", "vLLM for NVIDIA's GPUs, and what it needs", ("cuda",), 4_050, 10_000)
LIGHT = Installation("light", "llama.cpp, and what it needs", ("light",), 91, 355)
DEV = Installation("dev", "the test tools", ("dev",), 181, 560)
LIST_MB = {"torch-cpu": 192, "cpu": 510, "cuda": 4_050, "light": 91, "dev": 181}


def main(arguments: Sequence[str]) -> int:
    torch_index, target = arguments[0], arguments[1] if arguments[1:] else ""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        environment, installations = _wanted(target)
        if target == "serve":
            refuse_second_server(CHECKOUT, os.environ)
        for installation in installations:
            if not is_installed(environment, installation):
                with _alone():
                    install(environment, installation, torch_index)
    except Refusal as refusal:
        print(f"outworker: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\noutworker: the installation was interrupted: the same command goes on with it", file=sys.stderr
        )
        return INTERRUPTED
    except OSError as error:
        print(f"outworker: {error.filename or 'installation'}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def install(environment: Environment, installation: Installation, torch_index: str) -> None:
    """Say what comes, then do it."""
    if is_installed(environment, installation):  # by the one that was waited for
        return
    pins = {name: read_list(HERE / f"{name}.txt") for name in installation.lists}
    _check_machine(installation)
    _check_room(environment, installation)
    print(
        f"installing {installation.title}: {sum(map(len, pins.values()))} packages, "
        f"{_size(installation.download_mb)} to fetch, {_size(installation.disk_mb)} in {environment.path.name}",
        flush=True,
    )
    progress = Progress()
    progress.begin("the environment")
    environment.prepare()
    pip = Pip(environment, progress)
    for name in installation.lists:
        progress.begin(f"the list {name}")
        # Python compiles what it imports; compiled ahead, the rest would be a fifth of the light way's size.
        options = ("--no-compile",) if installation is LIGHT else ()
        _install_list(pip, name, pins[name], options, torch_index)
        progress.end()
    progress.begin("outworker itself")
    pip.install_checkout()
    progress.end()
    _stamp(environment, installation).write_text(_checksum(installation))


def is_installed(environment: Environment, installation: Installation) -> bool:
    try:
        stamp = _stamp(environment, installation).read_text()
    except OSError:
        return False
    return stamp == _checksum(installation) and environment.has_script("outworker")


def _install_list(pip: Pip, name: str, pins: list[Pin], options: tuple[str, ...], torch_index: str) -> None:
    if name != "torch-cpu":
        pip.install_list(HERE / f"{name}.txt", pins, LIST_MB[name], *options)
        return
    try:  # from where pip is told to look, else from PyTorch's own index
        pip.install_list(HERE / f"{name}.txt", pins, LIST_MB[name], *options)
    except NotInIndex:
        pip.install_list(HERE / f"{name}.txt", pins, LIST_MB[name], *options, "--index-url", torch_index)


def _wanted(target: str) -> tuple[Environment, list[Installation]]:
    engine = os.environ.get("ENGINE", "")
    if engine not in ("", "vllm", "llamacpp"):
        raise Refusal(
            f'ENGINE: expected llamacpp (the light installation) or vllm, found "{engine}": '
            "for another engine set engine in [[models]]"
        )
    if engine == "llamacpp" and target != "dev":
        return Environment(CHECKOUT / ".venv-light"), [LIGHT]
    whole = CUDA if _has_gpu() else CPU
    return Environment(CHECKOUT / ".venv"), [whole, DEV] if target == "dev" else [whole]


def _has_gpu() -> bool:
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, timeout=GPU_QUESTION_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"GPU" in done.stdout


def _check_machine(installation: Installation) -> None:
    if installation in (CPU, CUDA) and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Refusal(
            f"vLLM's packages are for Linux on x86-64, this is {platform.system()} on {platform.machine()}: "
            "try the light way, ENGINE=llamacpp"
        )


def _check_room(environment: Environment, installation: Installation) -> None:
    """For what is unpacked and what is fetched; what lies there already counts."""
    needed_mb = installation.disk_mb + installation.download_mb
    if installation is not DEV:
        needed_mb -= environment.size_bytes() // MEGABYTE
    free_mb = shutil.disk_usage(CHECKOUT).free // MEGABYTE
    if free_mb < needed_mb:
        raise Refusal(
            f"{installation.title}: {_size(needed_mb)} of disk are needed in {CHECKOUT}, {_size(free_mb)} are free: "
            "free some, or put the checkout on another disk"
        )


def _size(megabytes: int) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def _stamp(environment: Environment, installation: Installation) -> Path:
    return environment.path / f".installed-{installation.stamp}"


def _checksum(installation: Installation) -> str:
    files = [*(HERE / f"{name}.txt" for name in installation.lists), CHECKOUT / "pyproject.toml"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


@contextmanager
def _alone() -> Iterator[None]:
    """Two installers in one checkout take turns; the lock ends with its process, however that ends."""
    folder = os.open(HERE, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another installation runs in this checkout: waiting for its end", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
