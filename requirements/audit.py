"""Ask whether a package of the lists has a known vulnerability: `make audit`. Status 1: one has; 2: it can't be told.

pip-audit asks the package index that publishes them. It lies in an environment of its own, `.venv-audit`: nothing that
serves needs it.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements.environment import Environment
from requirements.lists import HERE, read_list
from requirements.lock import LISTS
from requirements.refusal import Refusal

PIP_AUDIT = "pip-audit==2.10.1"
FOUND, UNKNOWN = 1, 2
LOGGER = re.compile(r"^[A-Z]+:[\w.]+:\s*")
"""What pip-audit's log writes before a message."""
FINDING = re.compile(r"Found \d+ known vulnerabilit")


def main() -> int:
    environment = Environment(HERE.parent / ".venv-audit")
    try:
        environment.prepare()
    except Refusal as refusal:
        print(f"outworker: {refusal}", file=sys.stderr)
        return UNKNOWN
    if run(
        environment, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIP_AUDIT
    ).returncode:
        print(
            "outworker: pip-audit can't be installed: check the network and pip's settings", file=sys.stderr
        )
        return UNKNOWN
    with tempfile.TemporaryDirectory() as folder:
        files = [word for path in written(Path(folder)) for word in ("-r", str(path))]
        done = run(environment, "-m", "pip_audit", "--no-deps", "--disable-pip", "--strict", *files)
    print(done.stdout, end="")
    return judged(done)


def judged(done: "subprocess.CompletedProcess[str]") -> int:
    """pip-audit has one status for "found" and "could not ask"."""
    if done.returncode == 0:
        return 0
    if FINDING.search(done.stderr):
        print(done.stderr, file=sys.stderr, end="")
        return FOUND
    last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
    print(
        f"outworker: whether the packages are safe can't be told now: {LOGGER.sub('', last[0])} "
        "(what is known is asked of the package index itself: a mirror may not have it)",
        file=sys.stderr,
    )
    return UNKNOWN


def written(folder: Path) -> list[Path]:
    """Files with all pins; pip-audit takes one version of a package in each."""
    versions: dict[str, list[str]] = {}
    for name, version in pins():
        versions.setdefault(name, []).append(version)
    paths = [folder / f"{number}.txt" for number in range(max(map(len, versions.values())))]
    for number, path in enumerate(paths):
        lines = (f"{name}=={found[number]}\n" for name, found in versions.items() if number < len(found))
        path.write_text("".join(lines))
    return paths


def pins() -> list[tuple[str, str]]:
    """Every version of every list once.

    Vulnerabilities are published for releases, and torch's CPU build is one of torch's.
    """
    listed = (pin for name in LISTS for pin in read_list(HERE / f"{name}.txt"))
    return sorted({(pin.name, pin.version.partition("+")[0]) for pin in listed})


def run(environment: Environment, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(environment.python), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  its own Python


if __name__ == "__main__":
    sys.exit(main())
