"""The load client as a process of its own: `python -m benchmarks.client`.

It is asked as `ask` does: what is told is a JSON object `{"port": N, "requests": [whole HTTP requests], "clients": N}`,
the answer is `Work` as JSON or `{"error": "..."}`.
"""

import gc
import sys
import tempfile
from collections.abc import Callable, Sequence
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
REPLY = b"replied\n"
"""The line that is meant for the benchmark: libraries print too."""


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
        return ask_for_work(self.child, told)


def ask(child: Child, told: object) -> Any:
    """Tell a process something and wait for its answer. Both go through files, only their names through pipes: an
    answer has hundreds of kilobytes, a pipe has room for 64. Raises BenchError.
    """
    assert child.process.stdin is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "told.json")
        path.write_bytes(orjson.dumps(told))
        child.process.stdin.write(f"{path}\n".encode())
        child.process.stdin.flush()
        wait_for_reply(child)
        content = orjson.loads(path.read_bytes())
    if "error" in content:
        raise BenchError(content["error"])
    return content


def ask_for_work(child: Child, told: object) -> Work:
    content = ask(child, told)
    return Work(content["seconds"], [Stream(**stream) for stream in content["streams"]])


def wait_for_reply(child: Child) -> None:
    """Raises BenchError when the program ends instead."""
    assert child.process.stdout is not None
    if not any(line == REPLY for line in child.process.stdout):
        child.process.wait(END_WAIT_S)
        raise child.failure(f"ended with status {child.process.returncode}")


def reply() -> None:
    sys.stdout.buffer.write(REPLY)
    sys.stdout.buffer.flush()


def answer_line(line: bytes, answer: Callable[[Any], object]) -> None:
    """The other side of `ask`: `line` names the file with what is told, the answer takes its place."""
    path = Path(line.decode().rstrip("\n"))
    try:
        content = answer(orjson.loads(path.read_bytes()))
    except BenchError as error:
        content = {"error": str(error)}
    path.write_bytes(orjson.dumps(content))
    reply()


def main() -> None:
    for line in sys.stdin.buffer:
        answer_line(line, _work)


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
