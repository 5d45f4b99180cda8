"""The example Worker under a real `wrangler dev`, copied so that what wrangler writes stays out of the checkout."""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.clients.node import BIN, CLIENTS, own_environment
from tests.live.server import CHECKOUT

EXAMPLE = CHECKOUT / "wrangler-like-config" / "worker-example"
START_S = 60
STOP_S = 15
READY = re.compile(r"Ready on (http://127\.0\.0\.1:\d+)")
LISTEN = ("--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0")
# wrangler 3 takes the binding of env.cloudflare to CLOUDFLARE_API_BASE_URL, wrangler 4 the plugin.
OPTIONS = {"wrangler-3": ("--env", "cloudflare"), "wrangler-4": ()}


@dataclass
class WranglerDev:
    """`release` is a folder in tests/clients/node_modules, `home` an empty one; `lines` is what it printed.

    `modules` are written beside the example's own, by file name; `main` is the one that answers.
    """

    release: str
    home: Path
    environment: Mapping[str, str]
    modules: Mapping[str, str] = field(default_factory=dict)
    main: str = "probe.mjs"
    lines: list[str] = field(default_factory=list)

    def start(self) -> Self:
        worker = self.home / "worker"
        shutil.copytree(EXAMPLE, worker, ignore=shutil.ignore_patterns(".wrangler", "node_modules"))
        shutil.copy(CLIENTS / "probe.mjs", worker / "src")
        for name, source in self.modules.items():
            (worker / "src" / name).write_text(source, encoding="utf-8")
        wrangler = CLIENTS / "node_modules" / self.release / "bin" / "wrangler.js"
        self.process = subprocess.Popen(
            [BIN / "node", wrangler, "dev", f"src/{self.main}", *LISTEN, *OPTIONS[self.release]],
            cwd=worker,
            env={**own_environment(self.home), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.url = self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def ask(self, **body: Any) -> httpx.Response:
        """The example's own route."""
        return httpx.post(f"{self.url}/ask", json=body, timeout=30)

    def call(self, method: str, *args: Any) -> dict[str, Any]:
        """`env.AI[method](...args)`: its value or error, and the ids that env.AI has then."""
        answer = httpx.post(f"{self.url}/probe", json={"method": method, "args": args}, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def stop(self) -> None:
        """As Ctrl-C does; what is left after `STOP_S` is killed."""
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._reader.join(STOP_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _wait_ready(self) -> str:
        deadline = time.monotonic() + START_S
        while True:
            ready = [found for line in self.lines if (found := READY.search(line))]
            if ready:
                return ready[0][1]
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("wrangler dev did not start:\n" + "".join(self.lines))
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
