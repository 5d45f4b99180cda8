"""docs/clients.md: every block of Python, JavaScript and curl, run as it stands but for address and token."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.engines.fake import ANSWER
from tests.clients.node import CLIENTS, node, own_environment, server_environment
from tests.live.server import CHECKOUT, LiveServer

DOCUMENT = (CHECKOUT / "docs" / "clients.md").read_text()
BLOCK = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```(python|js|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = {title: (language, code) for title, language, code in BLOCK.findall(DOCUMENT)}
ADDRESS = "http://127.0.0.1:8788"


def block(server: LiveServer, title: str) -> str:
    code = BLOCKS[title][1]
    assert ADDRESS in code
    return code.replace(ADDRESS, server.url)


def titles(language: str, word: str = "") -> list[str]:
    return [title for title, (found, code) in BLOCKS.items() if found == language and word in code]


@pytest.mark.parametrize("title", titles("python"))
def test_python(server: LiveServer, tmp_path: Path, title: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block(server, title)],
        cwd=tmp_path,
        env={**own_environment(tmp_path), **server_environment(server.url, server.token)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"[pirate] {ANSWER}" in done.stdout, done.stderr


@pytest.mark.parametrize("title", titles("js"))
def test_node(server: LiveServer, tmp_path: Path, title: str) -> None:
    program = tmp_path / "block.mjs"
    program.write_text(block(server, title))
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    done = node(server, tmp_path, program)
    assert f"[pirate] {ANSWER}" in done.stdout, done.stderr


def test_curl(server: LiveServer, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", block(server, "curl")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLOUDFLARE_API_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"[pirate] {ANSWER}" in done.stdout, done.stderr


def test_every_client_has_its_lines() -> None:
    assert len(titles("python")) == len(titles("js")) == 3
    assert titles("sh", "wrangler") == ["wrangler: finetunes and models", "wrangler dev: env.AI of a Worker"]
