"""The environment that packages are installed into: made, made anew, or mended after an installation that broke off."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from requirements.lists import normalized
from requirements.refusal import Refusal

PIP_WORKS_S = 60


class Environment:
    """The folder `path`; nothing else knows what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.python = path / "bin" / "python"

    def prepare(self) -> bool:
        """Leave it able to install; True when it had to be made anew.

        A process may have been killed at any moment of its making, or while a package was unpacked.
        """
        if self.works():
            self._remove_torn()
            return False
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_dir()):
            raise Refusal(f"{self.path}: is not a folder; delete it")
        shutil.rmtree(self.path, ignore_errors=True)
        self._make()
        return True

    def works(self) -> bool:
        """Whether its making came to an end, here: `activate` is written last, and scripts name their place."""
        if not (self.path / "bin" / "activate").exists() or not self._is_from_here("pip"):
            return False
        command = [
            str(self.python),
            "-c",
            "import pip._internal.cli.main, sys; sys.exit(sys.version_info < (3, 11))",
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=PIP_WORKS_S, check=False)  # noqa: S603  its own
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def has_script(self, name: str) -> bool:
        """Whether the command is there and starts: both end where a Python, or the checkout, was moved."""
        return self.python.exists() and self._is_from_here(name)

    def installed(self) -> set[str]:
        """Names of the packages that are whole."""
        return {
            normalized(folder.name.partition("-")[0])
            for folder in self._metadata()
            if (folder / "INSTALLER").exists()
        }

    def size_bytes(self) -> int:
        return size_bytes(self.path)

    def _make(self) -> None:
        done = subprocess.run(  # noqa: S603  the interpreter that runs this
            [sys.executable, "-m", "venv", str(self.path)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr + done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise Refusal(f"{self.path}: {sys.executable} -m venv failed: {last[0]}")

    def _remove_torn(self) -> None:
        """pip takes a package for installed as soon as its metadata is there; it writes INSTALLER when all files are."""
        for folder in self._metadata():
            if not (folder / "INSTALLER").exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _metadata(self) -> Iterator[Path]:
        yield from self.path.glob("lib/python3*/site-packages/*.dist-info")

    def _is_from_here(self, script: str) -> bool:
        try:
            with (self.path / "bin" / script).open("rb") as file:
                return os.fsencode(f"{self.path}/bin/python") in file.read(1024)
        except OSError:
            return False


def size_bytes(folder: Path) -> int:
    """Of all files below; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118  a hundred thousand files
            except OSError:
                continue
    return total
