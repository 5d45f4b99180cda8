"""The load client as a process of its own: `python -m benchmarks.client`.

Reads lines on standard input, each a JSON object `{"port": N, "requests": [whole HTTP requests], "clients": N}`, and
answers each with a line that starts with REPLY and goes on with `Work` as JSON, or `{"error": "..."}`.
"""

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from benchmarks.errors import BenchError
from benchmarks.load import closed_loop
from benchmarks.processes import Child
from benchmarks.streams import read_stream
from benchmarks.workload import Stream, Work

END_WAIT_S = 30.0
REPLY = b"reply "
"""What a line begins with that is meant for the benchmark: libraries print too."""


@dataclass(frozen=True, slots=True)
class LoadClient:
    """`with LoadClient.started(folder) as client`: the process, used by all arms in turn."""

    child: Child

    @classmethod
    def started(cls, folder: Path) -> Self:
        command = [sys.executable, "-m", "benchmarks.client"]
        return cls(Child(command, folder / "client.log", talks=True))

    def __enter__(self) -> Self:
        self.child.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.child.__exit__(*exception)

    def work(self, port: int, requests: Sequence[bytes], clients: int) -> Work:
        """Each client sends its share of the requests, one after the other. Raises BenchError."""
        told = {"port": port, "requests": [request.decode() for request in requests], "clients": clients}
        return ask(self.child, told)


def ask(child: Child, told: dict[str, Any]) -> Work:
    """What a process that reads and answers such lines has done. Raises BenchError."""
    assert child.process.stdin is not None
    child.process.stdin.write(orjson.dumps(told) + b"\n")
    child.process.stdin.flush()
    content = orjson.loads(read_reply(child))
    if "error" in content:
        raise BenchError(content["error"])
    return Work(content["seconds"], [Stream(**stream) for stream in content["streams"]])


def read_reply(child: Child) -> bytes:
    """The next line that is meant for us. Raises BenchError when the program ends instead."""
    assert child.process.stdout is not None
    for line in child.process.stdout:
        if line.startswith(REPLY):
            return bytes(line.removeprefix(REPLY))
    child.process.wait(END_WAIT_S)
    raise child.failure(f"ended with status {child.process.returncode}")


def reply(content: object) -> None:
    sys.stdout.buffer.write(REPLY + orjson.dumps(content) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    for line in sys.stdin.buffer:
        try:
            reply(_work(orjson.loads(line)))
        except BenchError as error:
            reply({"error": str(error)})


def _work(told: dict[str, Any]) -> Work:
    requests = [request.encode() for request in told["requests"]]
    gc.collect()
    gc.disable()  # a pause would count as the server's
    try:
        load = closed_loop(
            told["port"], requests, clients=told["clients"], rounds=len(requests) // told["clients"]
        )
    finally:
        gc.enable()
    return Work(load.seconds, [read_stream(answer) for answer in load.answers])


if __name__ == "__main__":
    main()
