"""`outworker weights` as a person runs it, against a hub on loopback and an empty cache."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.hub.server import Hub, serving

CHECKOUT = Path(__file__).resolve().parents[2]
GGUF_REPOSITORY = "TheBloke/Mistral-7B-Instruct-v0.2-GGUF"
GGUF_FILE = "mistral-7b-instruct-v0.2.Q4_K_M.gguf"
GPTQ_REPOSITORY = "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ"
MIB = 1024**2
LARGE = random.Random(1).randbytes(25 * MIB)
"""More than two of the pieces of 10 MiB in which the hub's client writes."""


@dataclass
class Puller:
    """Runs commands in processes of their own: the hub's client reads its environment when it is imported."""

    hub: Hub
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.home / "hub"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        mine = {
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.home),
            "MODELSCOPE_CACHE": str(self.home / "ms"),
        }
        left_out = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "MODELSCOPE")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=CHECKOUT,
            env={**clean, **mine, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def pulls(self, variant: str, *more: str) -> Path:
        """The place that a pull names when it succeeds."""
        done = self.run("weights", "pull", variant, *more)
        assert done.returncode == 0, done.stderr
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{variant} is in "))
        return Path(line.removeprefix(f"{variant} is in "))

    def refused(self, variant: str, *more: str) -> str:
        """The one line of a pull that fails."""
        done = self.run("weights", "pull", variant, *more)
        assert done.returncode == 2, done.stdout
        lines = [line for line in done.stderr.splitlines() if line.startswith("outworker: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def place(self, variant: str) -> str:
        """What `weights show` says about where it is: a path or `no`."""
        done = self.run("weights", "show", variant)
        assert done.returncode == 0, done.stderr
        return next(
            line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if line.startswith("pulled ")
        )

    def partial_files(self) -> list[Path]:
        return list(self.cache.glob("*/blobs/*.incomplete"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as running:
        running.repositories[GGUF_REPOSITORY] = {
            "main": {GGUF_FILE: LARGE, "README.md": b"# GGUF", "config.json": b"{}"},
        }
        yield running


@pytest.fixture
def puller(hub: Hub, tmp_path: Path) -> Puller:
    return Puller(hub, tmp_path / "home")


Folder = Callable[[str], dict[str, bytes]]


@pytest.fixture
def folder_files() -> Folder:
    """A repository whose weights are a folder; the text tells its branches apart."""

    def files(text: str) -> dict[str, bytes]:
        return {
            "config.json": f'{{"text": "{text}"}}'.encode(),
            "tokenizer.json": b"{}",
            "model-00001-of-00002.safetensors": f"first {text}".encode() * 1000,
            "model-00002-of-00002.safetensors": f"second {text}".encode() * 1000,
            "consolidated.safetensors": b"the same once more",
            "pytorch_model.bin": b"pickled",
            "README.md": b"# A model",
        }

    return files
