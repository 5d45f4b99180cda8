"""docs/clients.md: every block of Python, JavaScript, Java, curl and cf, run as it stands but for address and token."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.engines.fake import ANSWER
from tests.clients.java import find_java
from tests.clients.node import BIN, CLIENTS, node, own_environment, server_environment
from tests.clients.programs import OTHER_PYTHON
from tests.clients.situations import PLACE
from tests.live.server import CHECKOUT, LiveServer

DOCUMENT = (CHECKOUT / "docs" / "clients.md").read_text()
BLOCK = re.compile(
    r"^## ([^\n]+)\n(?:(?!^## ).)*?^```(python|js|java|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
BLOCKS: dict[str, tuple[str, str]] = {
    title: (language, code) for title, language, code in BLOCK.findall(DOCUMENT)
}
ADDRESS = "http://127.0.0.1:8788"


def block(url: str, title: str) -> str:
    code = BLOCKS[title][1]
    assert ADDRESS in code
    return code.replace(ADDRESS, url)


def titles(language: str, word: str = "") -> list[str]:
    return [title for title, (found, code) in BLOCKS.items() if found == language and word in code]


PYTHONS = {"instructor (Python)": OTHER_PYTHON, "openai-agents (Python)": OTHER_PYTHON}
OF_A_CLASS = "instructor (Python)"


def run_python(title: str, code: str, home: Path, token: str) -> str:
    done = subprocess.run(
        [PYTHONS.get(title, sys.executable), "-c", code],
        cwd=home,
        env={**own_environment(home), "CLOUDFLARE_API_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("title", [title for title in titles("python") if title != OF_A_CLASS])
def test_python(server: LiveServer, tmp_path: Path, title: str) -> None:
    assert f"[pirate] {ANSWER}" in run_python(title, block(server.url, title), tmp_path, server.token)


def test_python_that_answers_a_class(situation: str, tmp_path: Path) -> None:
    place = json.loads(situation)["objects"]
    url = place["base"].removesuffix("/client/v4/accounts/local/ai")
    said = run_python(OF_A_CLASS, block(url, OF_A_CLASS), tmp_path, place["token"])
    assert said == f"city={PLACE['city']!r} people={PLACE['people']}\n"


@pytest.mark.parametrize("title", titles("js"))
def test_node(server: LiveServer, tmp_path: Path, title: str) -> None:
    program = tmp_path / "block.mjs"
    program.write_text(block(server.url, title))
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    done = node(server, tmp_path, program)
    assert f"[pirate] {ANSWER}" in done.stdout, done.stderr


SHELL = {
    "curl": "",
    "cf (npm): Cloudflare's newer command line": f"{BIN}:{CLIENTS / 'node_modules' / '.bin'}:",
}


@pytest.mark.parametrize("title", SHELL)
def test_shell(server: LiveServer, tmp_path: Path, title: str) -> None:
    tokens = server_environment(server.url, server.token)
    done = subprocess.run(
        ["bash", "-c", block(server.url, title)],
        env={**tokens, "PATH": f"{SHELL[title]}/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"[pirate] {ANSWER}" in done.stdout, done.stderr


@pytest.mark.skipif(find_java() is None, reason="no java of 17 or newer is on the PATH")
def test_java(server: LiveServer, tmp_path: Path) -> None:
    (title,) = titles("java")
    program = tmp_path / "Ask.java"
    program.write_text(block(server.url, title))
    done = subprocess.run(
        [str(find_java()), program],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "CLOUDFLARE_API_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("200 "), done.stderr
    assert f"[pirate] {ANSWER}" in done.stdout


def test_every_client_has_its_lines() -> None:
    assert len(titles("python")) == 9
    assert len(titles("js")) == 7
    assert titles("sh", "wrangler") == ["wrangler: finetunes and models", "wrangler dev: env.AI of a Worker"]
    assert set(SHELL) < set(titles("sh"))
