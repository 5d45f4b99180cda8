"""`outworker weights` as a person runs it, against a hub on loopback and an empty cache."""

import hashlib
import importlib
import io
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import huggingface_hub
import huggingface_hub.constants
import pytest

from app.cli.main import main
from app.weights.source import find_pulled
from app.weights.variants import load_catalogues, named_variant
from tests.hub.server import Hub, serving

CHECKOUT = Path(__file__).resolve().parents[2]
GGUF_REPOSITORY = "TheBloke/Mistral-7B-Instruct-v0.2-GGUF"
GGUF_FILE = "mistral-7b-instruct-v0.2.Q4_K_M.gguf"
GPTQ_REPOSITORY = "TheBloke/Mistral-7B-Instruct-v0.2-GPTQ"
MIB = 1024**2
LARGE = random.Random(1).randbytes(25 * MIB)
"""More than two of the pieces of 10 MiB in which the hub's client writes."""


@contextmanager
def hub_client(environ: dict[str, str]) -> Iterator[None]:
    """The hub's client as in a process that was started with `environ`, which it reads when it is imported."""
    with patch.dict(os.environ, environ, clear=True):
        importlib.reload(huggingface_hub.constants)
        try:
            yield
        finally:
            huggingface_hub.close_session()
    importlib.reload(huggingface_hub.constants)


@dataclass
class Puller:
    """Runs commands against the hub, with a cache of their own."""

    hub: Hub
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.home / "hub"

    @property
    def environ(self) -> dict[str, str]:
        """The test's own, without what would lead to another hub, cache or token."""
        mine = {
            "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(self.home),
            "MODELSCOPE_CACHE": str(self.home / "ms"),
            "OUTWORKER_DATA_DIR": str(self.home / "data"),
        }
        left_out = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "MODELSCOPE")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        return {**clean, **mine, **self.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In a process of its own, for what ends it from outside."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", *arguments],
            cwd=CHECKOUT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """In this process, which spares each test a second of imports."""
        out, err = io.StringIO(), io.StringIO()
        with (
            hub_client(self.environ),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main(arguments)
        status = ended.value.code
        return subprocess.CompletedProcess(
            arguments, status if isinstance(status, int) else 1, out.getvalue(), err.getvalue()
        )

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
        """Where it is for whoever asks now: a path or `no`."""
        return str(find_pulled(named_variant(load_catalogues(), variant)) or "no")

    def leave_partial(self, data: bytes) -> None:
        """As an earlier pull of the large file would, that broke off after `data`."""
        blobs = self.cache / f"models--{GGUF_REPOSITORY.replace('/', '--')}" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / f"{hashlib.sha256(LARGE).hexdigest()}.incomplete").write_bytes(data)

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
def puller(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Puller:
    """The test's own process looks into the same cache."""
    home = tmp_path / "home"
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(home / "ms"))
    return Puller(hub, home)


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
