"""A list of pinned packages: `name==version`, and below it the sha256 of each file of that release.

The form is the one that pip's `--require-hashes` reads and pip-compile writes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
HEADER = "# Written by requirements/lock.py (make lock)."
PIN = re.compile(r"([a-z0-9-]+)==([A-Za-z0-9.+!_-]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of a list; `hashes` are those of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_list(path: Path) -> list[Pin]:
    """Raises `ValueError` for a line that is neither a pin with hashes nor a comment."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    return [_pin(line, path) for line in lines if line and not line.startswith("#")]


def write_list(path: Path, versions: Mapping[str, str], hashes: Mapping[str, Iterable[str]]) -> None:
    """`versions` and `hashes` by name."""
    pins = (_lines(name, versions[name], hashes[name]) for name in sorted(versions))
    path.write_text("\n".join([HEADER, *pins]) + "\n")


def normalized(name: str) -> str:
    """A name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _lines(name: str, version: str, hashes: Iterable[str]) -> str:
    return " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{text}" for text in sorted(hashes))])


def _pin(line: str, path: Path) -> Pin:
    pin, *options = line.split()
    found = PIN.fullmatch(pin)
    hashes = [HASH.fullmatch(option) for option in options]
    if found is None or not hashes or not all(hashes):
        raise ValueError(f"{path.name}: {pin}: expected name==version and the sha256 of each file")
    return Pin(found[1], found[2], tuple(match[1] for match in hashes if match))
