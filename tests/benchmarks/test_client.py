"""The client's own process, against a server in this one."""

from pathlib import Path

import pytest

from benchmarks.client import LoadClient
from benchmarks.errors import BenchError
from benchmarks.load import post
from benchmarks.processes import free_port
from tests.benchmarks.test_load import peer

STREAM = b'data: {"response":"a","usage":{"prompt_tokens":2,"completion_tokens":1}}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


def test_it_loads_and_tells_what_was_done_and_when(tmp_path: Path) -> None:
    requests = [post("/", {})] * 6
    with peer(HEAD % len(STREAM) + STREAM) as port, LoadClient.started(tmp_path) as client:
        work = client.work(port, requests, 3)
        again = client.work(port, requests[:1], 1)
    assert [(stream.prompt_tokens, stream.tokens, stream.text) for stream in work.streams] == [
        (2, 1, "a")
    ] * 6
    assert (work.tokens, again.tokens) == (6, 1)
    assert all(0 < stream.first_s <= work.seconds for stream in work.streams)


def test_what_goes_wrong_there_is_told_here_and_it_goes_on(tmp_path: Path) -> None:
    with LoadClient.started(tmp_path) as client:
        for _ in range(2):
            with pytest.raises(BenchError, match="no connection"):
                client.work(free_port(), [post("/", {})], 1)
