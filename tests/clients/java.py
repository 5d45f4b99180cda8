"""A Java of 17 or newer on the caller's PATH, and tests/clients/programs/Ask.java on it."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.node import CLIENTS

OLDEST_JAVA = 17
ASK = CLIENTS / "programs" / "Ask.java"
VERSION = re.compile(r'version "(\d+)')


@dataclass(frozen=True)
class ParsedRequest:
    """`way` is a word of Ask.java, `body` goes out as JSON."""

    way: str
    url: str
    token: str
    body: Mapping[str, Any]

    def line(self) -> str:
        return "\t".join([self.way, self.url, self.token, json.dumps(self.body)]) + "\n"


def find_java() -> str | None:
    """The program, or None where there is none that is new enough."""
    program = shutil.which("java")
    if program is None:
        return None
    said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=False)
    version = VERSION.search(said.stderr + said.stdout)
    return program if version and int(version[1]) >= OLDEST_JAVA else None


def ask_from_java(program: str, asked: Sequence[ParsedRequest], home: Path) -> list[tuple[int, str]]:
    """Status and text of each answer, all asked by one process and one client."""
    done = subprocess.run(
        [program, f"-Duser.home={home}", "-XX:-UsePerfData", ASK],
        input="".join(one.line() for one in asked),
        cwd=home,
        env={"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (line.split("\t") for line in done.stdout.splitlines())
    return [(int(status), base64.b64decode(body).decode()) for status, body in lines]
