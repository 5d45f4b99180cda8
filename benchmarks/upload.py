"""Part "upload": from the last byte of an adapter to the first token of a request that names it; and what 300 MB cost.

One `outworker serve` with vLLM and the stand-in. Each round sends an adapter that the server has never seen.
"""

import http.client
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import psutil
from safetensors.numpy import save

from app.accounts.development import TOKEN_FILE
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import CHECKOUT
from benchmarks.errors import BenchError
from benchmarks.load import HOST
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.report import Part

ROUNDS = 20
TARGET_MS = 150.0
START_S = 180.0
MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"
ACCOUNT = "/client/v4/accounts/local/ai"
PIRATE = CHECKOUT / "adapters" / "pirate"
QUESTION = "What is Outworker?"
BOUNDARY = "outworker-bench"
LARGE_BYTES = 299_900_000
POLL_S = 0.002
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds: from the last byte sent to the upload's answer, from there to the first token, and of later requests."""

    checked_s: float
    first_token_s: float
    again_s: float
    base_s: float

    @property
    def ready_s(self) -> float:
        """From the last byte of the upload to the first token of a request that names the adapter."""
        return self.checked_s + self.first_token_s


@dataclass(frozen=True, slots=True)
class Large:
    """One large file: seconds it took, growth of the server's peak memory in bytes, and the answers of `/health` in
    seconds while it arrived and at rest."""

    seconds: float
    grown_bytes: int
    health_s: Sequence[float]
    rest_s: Sequence[float]


class Api:
    """Two keep-alive connections to the server, one for uploads and one for requests."""

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"authorization": f"Bearer {token}"}
        self._uploads = http.client.HTTPConnection(HOST, port)
        self._requests = http.client.HTTPConnection(HOST, port)

    def create(self, name: str) -> None:
        body = orjson.dumps({"model": MODEL, "name": name})
        self._uploads.request("POST", f"{ACCOUNT}/finetunes", body, self._headers)
        _read(self._uploads, 200)

    def delete(self, name: str) -> None:
        self._uploads.request("DELETE", f"{ACCOUNT}/finetunes/{name}", headers=self._headers)
        _read(self._uploads, 200)

    def upload(self, name: str, file_name: str, data: bytes) -> float:
        """Seconds from the last byte to the answer."""
        return self.send(name, memoryview(form(file_name, data)), 200)

    def send(self, name: str, form: memoryview, status: int) -> float:
        """Seconds from the last byte to the answer, which must have this status."""
        self._uploads.putrequest("POST", f"{ACCOUNT}/finetunes/{name}/finetune-assets")
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        for header, value in {
            **self._headers,
            "content-type": kind,
            "content-length": str(len(form)),
        }.items():
            self._uploads.putheader(header, value)
        self._uploads.endheaders()
        self._uploads.send(form[:-1])
        began = time.perf_counter()
        self._uploads.send(form[-1:])
        _read(self._uploads, status)
        return time.perf_counter() - began

    def first_token_s(self, lora: str | None) -> float:
        """Seconds from a streamed request to its first event with text."""
        body = {"prompt": QUESTION, "stream": True, "max_tokens": 8, **({"lora": lora} if lora else {})}
        began = time.perf_counter()
        self._requests.request("POST", f"{ACCOUNT}/run/{MODEL}", orjson.dumps(body), self._headers)
        answer = self._requests.getresponse()
        line = answer.readline()
        seconds = time.perf_counter() - began
        rest = answer.read()
        if not line.startswith(b'data: {"response":"') or b"[DONE]" not in rest:
            raise BenchError(f"no stream: {(line + rest)[:300].decode(errors='replace')}")
        return seconds


def run(folder: Path) -> Part:
    """`folder` is for logs and data. Raises BenchError."""
    with _serving(folder) as (port, token, server):
        api = Api(port, token)
        api.first_token_s(None)
        rounds = [_round(api, number) for number in range(ROUNDS)]
        large = _large(api, port, server)
    return Part(
        name="upload",
        title="An adapter over the API",
        columns=("what", "median", "range", "target"),
        rows=[*_round_rows(rounds), *_large_rows(large)],
        notes=_notes(),
        samples={"rounds": rounds, "large": large},
    )


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[int, str, psutil.Process]]:
    port, data = free_port(), folder / "upload-data"
    environment = {"PORT": str(port), "OUTWORKER_DATA_DIR": str(data)}
    with Child([sys.executable, "-m", "app.cli.main", "serve"], folder / "upload.log", environment) as child:
        child.wait_until(answers_200(port, "/ready"), START_S)
        server = psutil.Process(child.process.pid).children()[0]
        yield port, (data / TOKEN_FILE).read_text().strip(), server


def _round(api: Api, number: int) -> Round:
    """The example adapter with other metadata, and so with another digest: nothing of it is cached anywhere."""
    name = f"bench-{number}"
    weights = _with_metadata((PIRATE / WEIGHTS_FILE).read_bytes(), {"round": str(number)})
    api.create(name)
    api.upload(name, CONFIG_FILE, (PIRATE / CONFIG_FILE).read_bytes())
    checked = api.upload(name, WEIGHTS_FILE, weights)
    first = api.first_token_s(name)
    found = Round(checked, first, api.first_token_s(name), api.first_token_s(None))
    api.delete(name)
    return found


def _with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with other metadata: offsets count from the header's end, so the rest stays as it is."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = orjson.dumps({**orjson.loads(data[8:end]), "__metadata__": metadata})
    return len(header).to_bytes(8, "little") + header + data[end:]


def _large(api: Api, port: int, server: psutil.Process) -> Large:
    """A file of nearly 300 MB whose every value is read: it is refused at the end, its shapes fit no base."""
    config = orjson.loads((PIRATE / CONFIG_FILE).read_bytes())
    api.create("large")
    api.upload("large", CONFIG_FILE, orjson.dumps(config))
    # Made before anything is measured: this process's own work would hold up the thread that asks /health.
    large = memoryview(form(WEIGHTS_FILE, _large_file()))
    rest = _health_s(port, threading.Event(), 200)
    done = threading.Event()
    waits: list[float] = []
    watcher = threading.Thread(target=lambda: waits.extend(_health_s(port, done)))
    _forget_peak(server)
    before = server.memory_info().rss
    watcher.start()
    began = time.perf_counter()
    api.send("large", large, 400)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return Large(seconds, _peak_bytes(server) - before, waits, rest)


def _large_file() -> bytes:
    shape = (LARGE_BYTES // 400, 1)  # 100 tensors of 4 bytes per value
    tensors = {
        f"base_model.model.model.layers.{layer}.mlp.up_proj.lora_{side}.weight": np.full(
            shape, 0.01, np.float32
        )
        for layer in range(50)
        for side in "AB"
    }
    return bytes(save(tensors))


def _health_s(port: int, done: threading.Event, count: int = 1_000_000) -> list[float]:
    """Seconds of each answer of `/health`, asked again and again until `done`."""
    connection = http.client.HTTPConnection(HOST, port)
    waits: list[float] = []
    while not done.is_set() and len(waits) < count:
        began = time.perf_counter()
        connection.request("GET", "/health")
        _read(connection, 200)
        waits.append(time.perf_counter() - began)
        time.sleep(POLL_S)
    connection.close()
    return waits


def _forget_peak(process: psutil.Process) -> None:
    """Linux: what /proc calls the high water mark begins anew."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _peak_bytes(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def form(file_name: str, data: bytes) -> bytes:
    head = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file_name"\r\n\r\n{file_name}\r\n'
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="blob"\r\n\r\n'
    )
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def _read(connection: http.client.HTTPConnection, status: int) -> bytes:
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != status:
        raise BenchError(f"answered {answer.status}: {body[:300].decode(errors='replace')}")
    return body


def _round_rows(rounds: Sequence[Round]) -> list[tuple[str, ...]]:
    rows = {
        "last byte of the upload to first token, ms": [found.ready_s for found in rounds],
        "... of which until the upload is answered": [found.checked_s for found in rounds],
        "... of which load and first token": [found.first_token_s for found in rounds],
        "first token when it is loaded": [found.again_s for found in rounds],
        "first token without an adapter": [found.base_s for found in rounds],
    }
    targets = [f"<= {TARGET_MS:.0f}", "", "", "", ""]
    return [
        (what, *_ms(seconds), target) for (what, seconds), target in zip(rows.items(), targets, strict=True)
    ]


def _ms(seconds: Sequence[float]) -> tuple[str, str]:
    return (
        f"{statistics.median(seconds) * 1000:.1f}",
        f"{min(seconds) * 1000:.1f}-{max(seconds) * 1000:.1f}",
    )


def _large_rows(large: Large) -> list[tuple[str, ...]]:
    return [
        ("300 MB: s until it is refused", f"{large.seconds:.2f}", "", ""),
        ("300 MB: MiB of memory", f"{large.grown_bytes / MIB:.1f}", "", "<= 32"),
        ("/health while 300 MB arrive, ms", *_ms(large.health_s), "<= 50"),
        ("/health at rest, ms", *_ms(large.rest_s), ""),
    ]


def _notes() -> list[str]:
    return [
        f"{ROUNDS} rounds, each with new bytes; question {QUESTION!r}, streamed, with vLLM and the stand-in.",
        "The file of 300 MB is checked value by value and refused for its shapes. Its sender and whoever asks "
        "/health compute on the same cores.",
    ]
