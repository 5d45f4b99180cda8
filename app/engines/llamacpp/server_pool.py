"""Which llama.cpp serves: another set of adapters takes another server beside the old one, which ends its requests.

llama.cpp takes adapters at its start alone. Both servers map the same file of weights, so that those are in memory
once; caches and adapters are there twice until the old server has drained. There are never more than two: the next
change waits.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from app.engines.engine import not_ready
from app.engines.llamacpp.server import LlamaServer
from app.errors import OutOfCapacity, StartupError

log = logging.getLogger(__name__)

DROP_AFTER_S = 0.05
"""An adapter is mostly dropped to make room for one that comes at once: then one new server does for both."""

Make = Callable[[Mapping[int, Path]], LlamaServer]


class LlamaServerPool:
    """`current` serves what is asked for from now on. `make` blocks, and raises StartupError.

    `wait_s` is how long a new adapter waits for what runs on the server before the current one.
    """

    def __init__(self, make: Make, first: LlamaServer, wait_s: float) -> None:
        self.current = first
        self._make = make
        self._wait_s = wait_s
        self._wanted: dict[int, Path] = {}
        self._failed: dict[int, StartupError] = {}
        self._one_by_one = False
        self._closed = False
        self._following: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._old: LlamaServer | None = None

    @property
    def running(self) -> int:
        return self.current.running + (self._old.running if self._old is not None else 0)

    @property
    def files(self) -> frozenset[Path]:
        """What is loaded or is about to be."""
        return frozenset(self._wanted.values())

    async def beat(self) -> None:
        """Returns when the server that is asked now has answered between two steps."""
        await self.current.beat()

    async def add(self, adapter: int, file: Path) -> None:
        """Returns when `current` has it. Raises what `make` raises about it, OutOfCapacity when requests on the
        server before the current one run too long; then it is not wanted any more.
        """
        self._wanted[adapter] = file
        deadline = asyncio.get_running_loop().time() + self._wait_s
        try:
            while adapter not in self.current.adapters:
                if self._closed:
                    raise not_ready()
                if adapter in self._failed:
                    raise self._failed[adapter]
                await self._old_gone(deadline)
                await asyncio.shield(self._follow())
        except BaseException as cause:
            self._wanted.pop(adapter, None)
            if isinstance(cause, asyncio.CancelledError) and self._closed and not _cancelled():
                raise not_ready() from None  # what it waited for has ended, not the task
            raise
        finally:
            self._failed.pop(adapter, None)

    def drop(self, adapter: int) -> None:
        """Its memory goes with the server that has it."""
        if self._wanted.pop(adapter, None) is not None:
            self._follow().add_done_callback(self._note_drop)

    def fail(self) -> None:
        """Whoever waits is told that nothing more comes. Nothing is closed: that would wait for llama.cpp."""
        self._closed = True
        for server in (self._old, self.current):
            if server is not None:
                server.fail()

    async def close(self) -> None:
        """Everything is aborted."""
        self._closed = True
        for task in (self._following, self._draining):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for server in (self._old, self.current):
            if server is not None:
                await server.close()

    async def _old_gone(self, deadline: float) -> None:
        if self._draining is None:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(self._draining)
        except TimeoutError:
            raise OutOfCapacity(
                "Answers that began before the last change of adapters still run: ask again."
            ) from None

    def _follow(self) -> "asyncio.Task[None]":
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._change())
        return self._following

    async def _change(self) -> None:
        """One step towards a server that has what is wanted, and nothing else."""
        if self._wanted.keys() < self.current.adapters:
            await asyncio.sleep(DROP_AFTER_S)
        if self._draining is not None:
            await asyncio.shield(self._draining)
        wanted = self._next()
        if wanted.keys() == self.current.adapters:
            return
        try:
            fresh = await self._made(wanted)
        except StartupError as error:
            self._blame(wanted.keys() - self.current.adapters, error)
            return
        self._one_by_one = self._one_by_one and not self._wanted.keys() <= wanted.keys()
        self._old, self.current = self.current, fresh
        self._draining = asyncio.create_task(self._drain(self._old))

    async def _made(self, wanted: Mapping[int, Path]) -> LlamaServer:
        """What is made although nobody waits for it any more is closed, or its memory would never come back."""
        making = asyncio.ensure_future(asyncio.to_thread(self._make, wanted))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.wait([making])
            if making.exception() is None:
                await making.result().close()
            raise

    def _next(self) -> dict[int, Path]:
        """What is wanted, with one new adapter at most where some of several is broken."""
        loaded = {one: file for one, file in self._wanted.items() if one in self.current.adapters}
        new = [one for one in self._wanted if one not in loaded]
        taken = new[:1] if self._one_by_one else new
        return {**loaded, **{one: self._wanted[one] for one in taken}}

    def _blame(self, new: "set[int]", error: StartupError) -> None:
        """A single new adapter is at fault; of several it shows when they come one by one."""
        if not new:
            raise error
        self._one_by_one = True
        if len(new) == 1:
            (broken,) = new
            self._failed[broken] = error
            self._wanted.pop(broken, None)

    async def _drain(self, old: LlamaServer) -> None:
        await old.idle()
        await old.close()
        self._old = None
        self._draining = None

    def _note_drop(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        if (failure := task.exception()) is not None:
            log.error("llama.cpp could not be started with fewer adapters", exc_info=failure)
        elif self.current.adapters - self._wanted.keys():
            self._follow().add_done_callback(self._note_drop)


def _cancelled() -> bool:
    """Whether this task itself is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
