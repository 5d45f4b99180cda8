"""Part "full": the 7B shape with dummy weights in vLLM on a CPU, against the memory that `weights list` states.

The server gets as much for keys, values and adapters as that statement counts, so that it is met or missed.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.accounts.development import TOKEN_FILE
from app.cli.api_client import FinetunesClient
from app.weights.variants import GB, find_variant, load_catalogues
from benchmarks.errors import BenchError
from benchmarks.full_weights import write_adapter, write_model
from benchmarks.load import HOST
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.report import Part
from benchmarks.upload import MODEL, Api

VARIANT = "pytorch"
ENGINE = "vllm"
ADAPTERS = 4
"""What the statement counts, beside the keys and values of 15000 tokens."""

KV_CACHE_GIB = 1.86
START_S = 580.0
TOKENS = 16
SAMPLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Moment:
    """What was reached, seconds since the one before, and the largest resident memory of all processes so far."""

    what: str
    seconds: float
    peak_bytes: int


class Memory:
    """`peak_bytes`: resident memory of a program and all that it started, summed, the largest of all samples."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                family = [self._root, *self._root.children(recursive=True)]
                self.peak_bytes = max(self.peak_bytes, sum(each.memory_info().rss for each in family))
            except psutil.NoSuchProcess:
                continue  # one of them has just ended


def run(folder: Path) -> Part:
    """Raises BenchError."""
    stated = stated_bytes()
    free = psutil.virtual_memory().available
    if free < stated:
        raise BenchError(
            f"{VARIANT} needs {stated / GB:.2f} GB of memory, {free / GB:.2f} GB are free: end other programs"
        )
    moments = _moments(folder / "full")
    peak = moments[-1].peak_bytes
    verdict = "met" if peak <= stated else "missed"
    return Part(
        name="full",
        title=f"Mistral 7B's shape with dummy weights, {ENGINE}",
        columns=("until", "seconds", "peak GB"),
        rows=[[each.what, f"{each.seconds:.1f}", f"{each.peak_bytes / GB:.2f}"] for each in moments],
        notes=[f"weights list states {stated / GB:.2f} GB for {VARIANT} under {ENGINE}: {verdict}."],
        samples=moments,
    )


def stated_bytes() -> int:
    """What `weights list` says."""
    variant = find_variant(load_catalogues(), VARIANT)
    assert variant is not None
    return int(GB * next(run.memory_gb for run in variant.engines if run.engine == ENGINE))


def _moments(folder: Path) -> list[Moment]:
    folder.mkdir()
    port, data = free_port(), folder / "data"
    config = _config(folder, write_model(folder / "model"))
    command = [sys.executable, "-m", "app.cli.main", "serve", "--config", str(config)]
    environment = {"PORT": str(port), "OUTWORKER_DATA_DIR": str(data)}
    moments: list[Moment] = []
    with Child(command, folder / "server.log", environment) as child:
        memory = Memory(child.process.pid)
        began = time.monotonic()

        def log_startup(what: str) -> None:
            nonlocal began
            now = time.monotonic()
            moments.append(Moment(what, now - began, memory.peak_bytes))
            began = now

        with memory.watched(), child.loaded():
            child.wait_until(answers_200(port, "/ready"), START_S)
            log_startup("ready")
            token = (data / TOKEN_FILE).read_text().strip()
            api = Api(port, token)
            api.first_token_s(None)
            log_startup("8 tokens of the base")
            for number in range(ADAPTERS):
                _upload(port, token, write_adapter(folder / f"adapter-{number}", number))
                log_startup(f"adapter {number + 1} uploaded")
                api.first_token_s(f"adapter-{number}")
                log_startup("8 tokens with it")
    return moments


def _config(folder: Path, model: Path) -> Path:
    path = folder / "outworker.toml"
    lines = (
        "[[models]]",
        f'name = "{MODEL}"',
        f'weights = "{model}"',
        f"kv_cache_gib = {KV_CACHE_GIB}",
        f"max_adapters_resident = {ADAPTERS}",
        "[models.vllm]",
        'load_format = "dummy"',
        "[[models]]",
        'name = "@cf/mistral/mistral-7b-instruct-v0.2-lora"',
        f'weights = "{model}"',
    )
    path.write_text("\n".join([*lines, ""]))
    return path


def _upload(port: int, token: str, folder: Path) -> None:
    with FinetunesClient(f"http://{HOST}:{port}/client/v4", "local", token) as client:
        draft = client.create(model=MODEL, name=folder.name)
        for file in sorted(folder.iterdir()):
            client.upload_asset(draft.id, file, lambda _: None)
