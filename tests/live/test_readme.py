"""README.md and docs/adapters.md: their commands and Python, run as they stand but for a seed, as in a checkout."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.standin.recipe.text import questions
from tests.live.pages import blocks
from tests.live.server import CHECKOUT, LiveServer, seeded, sse_events

pytestmark = pytest.mark.engine

PRINTED = "http://127.0.0.1:8788"
TAUGHT = {
    answer for _, answer in questions()
}  # at the default temperature it may be another one than the best


def programs(language: str, page: str = "README.md") -> list[str]:
    return [seeded(block) for block in blocks(language, page)]


@pytest.fixture
def checkout(live: LiveServer, tmp_path: Path) -> Path:
    (tmp_path / ".outworker").symlink_to(live.data_dir)
    (tmp_path / "adapters").symlink_to(CHECKOUT / "adapters")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_lines(live: LiveServer, checkout: Path) -> None:
    as_json, stream, lora = (
        run(["bash", "-c", block.replace(PRINTED, live.url)], checkout) for block in programs("bash")
    )
    assert json.loads(as_json)["result"]["response"] in TAUGHT
    *events, _, done = sse_events(stream)
    assert done == "[DONE]"
    assert "".join(json.loads(event)["response"] for event in events) in TAUGHT
    assert "Arr" in json.loads(lora)["result"]["response"]


def test_the_upload_of_the_adapters_page(live: LiveServer, checkout: Path) -> None:
    (script,) = programs("bash", "docs/adapters.md")
    answers = (
        run(["bash", "-c", script.replace(PRINTED, live.url)], checkout).replace("}{", "}\n{").splitlines()
    )
    created, _, weights, called = (json.loads(answer)["result"] for answer in answers)
    assert (created["state"], weights["state"]) == ("unfinished", "ready")
    assert "Arr" in called["response"]
    assert live.client.delete(f"/client/v4/accounts/local/ai/finetunes/{created['id']}").status_code == 200


def test_the_python_example_with_the_official_package(live: LiveServer, checkout: Path) -> None:
    (program,) = programs("python")
    whole, streamed, pirate = run(
        [sys.executable, "-c", program.replace(PRINTED, live.url)], checkout
    ).splitlines()
    assert {whole, streamed} <= TAUGHT
    assert "Arr" in pirate


def test_every_linked_file_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (CHECKOUT / "README.md").read_text())
    assert len(links) > 8
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
