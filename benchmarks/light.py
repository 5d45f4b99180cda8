"""Part "light": what `make serve ENGINE=llamacpp` takes on a machine that has nothing of it yet.

A clone of this checkout with empty caches is installed and started; the first start also expands the stand-in, and
Python compiles what it imports.
"""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from app.settings import CHECKOUT
from benchmarks.errors import BenchError
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.report import Part

ROUNDS = 5
INSTALL_S = 900.0
START_S = 60.0
TARGET_S = 3.0
TARGET_MB = 400.0
LEFT_OUT = ("torch", "vllm", "transformers", "peft", "xgrammar")


def run(folder: Path) -> Part:
    """Raises BenchError."""
    checkout, home = folder / "light", folder / "light-home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(checkout)], check=True)
    environment = {
        "ENGINE": "llamacpp",
        "HOME": str(home),
        "PIP_NO_CACHE_DIR": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPATH": "",
        "MAKEFLAGS": "",
        "ARGS": "",
    }
    installing_s = _install(checkout, folder / "light-install.log", environment)
    starts = [_start(checkout, folder / f"light-{n}.log", environment) for n in range(ROUNDS + 1)]
    size = _size_mb(checkout / ".venv-light")
    first, *later = starts
    met = {True: "met", False: "missed"}
    return Part(
        name="light",
        title="make serve ENGINE=llamacpp, from a fresh clone with empty caches",
        columns=("what", "value", "target"),
        rows=[
            ["installing", f"{installing_s:.0f} s", ""],
            ["size of .venv-light", f"{size:.0f} MB", f"< {TARGET_MB:.0f} MB: {met[size < TARGET_MB]}"],
            ["first start until ready", f"{first:.2f} s", ""],
            [
                "later starts until ready",
                f"{median(later):.2f} s ({min(later):.2f}-{max(later):.2f})",
                f"< {TARGET_S:.0f} s: {met[median(later) < TARGET_S]}",
            ],
        ],
        notes=[f"Without {', '.join(LEFT_OUT)}. Later starts: the median of {ROUNDS}."],
        samples={"installing_s": installing_s, "size_mb": size, "starts_s": starts},
    )


def _install(checkout: Path, log: Path, environment: Mapping[str, str]) -> float:
    """Seconds. Raises BenchError when something came along that has no place there."""
    began = time.monotonic()
    with Child(["make", "-s", "-C", str(checkout), "install"], log, environment) as child:
        status = child.process.wait(INSTALL_S)
        if status:
            raise child.failure(f"ended with status {status}")
    seconds = time.monotonic() - began
    packages = {path.name for path in checkout.glob(".venv-light/lib/python3*/site-packages/*")}
    if heavy := packages.intersection(LEFT_OUT):
        raise BenchError(f"the light installation has {', '.join(sorted(heavy))}")
    return seconds


def _start(checkout: Path, log: Path, environment: Mapping[str, str]) -> float:
    """Seconds from make to the first answer of /ready."""
    port = free_port()
    own = {**environment, "PORT": str(port), "OUTWORKER_DATA_DIR": str(checkout / ".outworker")}
    began = time.monotonic()
    with Child(["make", "-s", "-C", str(checkout), "serve"], log, own) as child:
        child.wait_until(answers_200(port, "/ready"), START_S)
        return time.monotonic() - began


def _size_mb(folder: Path) -> float:
    """On the disk, in millions of bytes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 1e6
