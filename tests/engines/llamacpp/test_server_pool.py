"""app.engines.llamacpp.server_pool at its end: no llama.cpp is left that nobody closes."""

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.engines.llamacpp.server_pool import LlamaServerPool
from app.errors import OutOfCapacity
from tests.engines.llamacpp.asking import until

pytestmark = pytest.mark.anyio


class Server:
    """In place of a llama.cpp with adapters."""

    running = 0

    def __init__(self, adapters: Mapping[int, Path]) -> None:
        self.adapters = frozenset(adapters)
        self.closed = False

    async def idle(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


async def test_after_the_end_no_adapter_is_loaded() -> None:
    made: list[Server] = []

    def make(adapters: Mapping[int, Path]) -> Any:
        made.append(Server(adapters))
        return made[-1]

    generations = LlamaServerPool(make, make({}), wait_s=5)
    await generations.close()
    with pytest.raises(OutOfCapacity):
        await generations.add(1, Path("a.gguf"))
    assert [server.closed for server in made] == [True]


async def test_one_that_is_being_made_at_the_end_is_closed() -> None:
    made: list[Server] = []
    go_on = threading.Event()

    def make(adapters: Mapping[int, Path]) -> Any:
        made.append(Server(adapters))
        assert not adapters or go_on.wait(20)
        return made[-1]

    generations = LlamaServerPool(make, make({}), wait_s=5)
    adding = asyncio.create_task(generations.add(1, Path("a.gguf")))
    await until(lambda: len(made) == 2)
    closing = asyncio.create_task(generations.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    with pytest.raises(OutOfCapacity):
        await adding
    assert [server.closed for server in made] == [True, True]
