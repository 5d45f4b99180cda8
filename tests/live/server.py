"""Starts `outworker serve` as a person does, in a process group of its own, and talks to it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from app.accounts.page_codes import PageCodes, page_link
from app.database.opening import open_database

CHECKOUT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("outworker"))
SETTINGS = Path(__file__).with_name("outworker.toml")
HF = "@hf/mistral/mistral-7b-instruct-v0.2"
CF = "@cf/mistral/mistral-7b-instruct-v0.2-lora"
OPENAI_CHAT = "/client/v4/accounts/local/ai/v1/chat/completions"
READY_S = 180
SEED = 1


def outworker(*arguments: str, data_dir: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command of the command line, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli.main", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "OUTWORKER_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class LiveServer:
    """A running `outworker serve`; `lines` is what it printed so far."""

    data_dir: Path
    settings: Path = SETTINGS
    folder: Path = CHECKOUT
    """Where the command is given."""

    lines: list[str] = field(default_factory=list)

    def start(self) -> Self:
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--config", str(self.settings)],
            cwd=self.folder,
            env={**os.environ, "OUTWORKER_DATA_DIR": str(self.data_dir), "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for("starting on ", READY_S)
        except AssertionError:
            self.signal_group(signal.SIGKILL)  # nobody else will end it
            raise
        self.url = next(line for line in self.lines if line.startswith("starting on ")).split()[2]
        self.token = (self.data_dir / "dev-token").read_text().strip()
        self.client = httpx.Client(base_url=self.url, headers=self.authorization, timeout=60)
        return self

    @property
    def authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def wait_ready(self) -> Self:
        self.wait_for("ready on ", READY_S)
        return self

    def wait_for(self, beginning: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not any(line.startswith(beginning) for line in self.lines):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no line {beginning!r} in:\n" + "".join(self.lines) + self.log())
            time.sleep(0.02)

    def path(self, model: str = HF) -> str:
        return f"/client/v4/accounts/local/ai/run/{model}"

    def page_link(self) -> str:
        """The playground's address with a one-time code, as `outworker page` prints it."""
        codes = PageCodes(open_database(f"sqlite:///{self.data_dir / 'outworker.db'}"))
        return page_link(self.url, codes.make())

    def run(self, body: Any, model: str = HF) -> httpx.Response:
        """The native dialect's answer; drawn with one seed unless said otherwise, so that what fails fails again."""
        return self.client.post(self.path(model), json={"seed": SEED, **body})

    def text(self, prompt: str, lora: str | None = None, **more: Any) -> str:
        """The answer's text at temperature 0 unless said otherwise."""
        body = {"prompt": prompt, "temperature": 0, **({"lora": lora} if lora else {}), **more}
        answer = self.run(body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["result"]["response"])

    def server_process(self) -> psutil.Process:
        """The server itself, the launcher's child."""
        return psutil.Process(self.process.pid).children()[0]

    def engine_processes(self) -> list[psutil.Process]:
        return [child for child in self.server_process().children(recursive=True) if is_alive(child)]

    def engine_used_in(self, seconds: float) -> float:
        """CPU seconds of the engine's processes within so many seconds from now."""
        engine = self.engine_processes()
        before = sum(process.cpu_times().user for process in engine)
        time.sleep(seconds)
        return sum(process.cpu_times().user for process in engine) - before

    def signal_group(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit status."""
        if self.process.poll() is None:
            self.signal_group(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.client.close()
            self._reader.join(5)
            if self.process.stdout is not None:
                self.process.stdout.close()

    def log(self) -> str:
        path = self.data_dir / "server.log"
        return path.read_text()[-4000:] if path.exists() else ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


@contextmanager
def changed_server(folder: Path, lines: str) -> Iterator[LiveServer]:
    """Ready, with `lines` more in each `[[models]]` entry of the settings; ended behind."""
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS.read_text().replace("kv_cache_gib = 1", f"kv_cache_gib = 1\n{lines}"))
    server = LiveServer(folder / "data", settings).start()
    try:
        yield server.wait_ready()
    finally:
        server.stop()


def leave_after(server: LiveServer, body: Mapping[str, object], seconds: float) -> None:
    """Ask OpenAI's chat, and go away after so long, whatever has come."""
    with httpx.Client(base_url=server.url, headers=server.authorization, timeout=seconds) as client:
        try:
            with client.stream("POST", OPENAI_CHAT, json=body) as answer:
                end = time.monotonic() + seconds
                for _ in answer.iter_raw():
                    if time.monotonic() > end:
                        return
        except httpx.ReadTimeout:
            return


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def seeded(text: str) -> str:
    """The text of a command or a program, its requests drawn with one seed."""
    return re.sub(r'("?)(?:prompt|messages)("?)(: |=)(?=["[])', rf"\1seed\2\g<3>{SEED}, \g<0>", text)


def sse_events(text: str) -> Sequence[str]:
    """The data of each event; comments are left out."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    assert all(block.startswith("data: ") for block in blocks), text
    return [block.removeprefix("data: ") for block in blocks]
