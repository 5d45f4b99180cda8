"""Which llama.cpp serves: another set of adapters takes another server beside the old one, which ends its requests.

llama.cpp takes adapters at its start alone. Both servers map the same file of weights, so that those are in memory once
(but for what llama.cpp repacks for the CPU); caches and adapters are there twice until the old server has drained.
There are never more than two: the next change waits.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from app.engines.llamacpp.generation import Generation

log = logging.getLogger(__name__)

DROP_AFTER_S = 0.05
"""An adapter is mostly dropped to make room for one that comes at once: then one new server does for both."""

Make = Callable[[Mapping[int, Path]], Generation]


class Generations:
    """`current` serves what is asked for from now on. `make` blocks."""

    def __init__(self, make: Make, first: Generation) -> None:
        self.current = first
        self._make = make
        self._wanted: dict[int, Path] = {}
        self._following: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._old: Generation | None = None

    @property
    def running(self) -> int:
        return self.current.running + (self._old.running if self._old is not None else 0)

    @property
    def files(self) -> frozenset[Path]:
        """What is loaded or is about to be."""
        return frozenset(self._wanted.values())

    async def add(self, adapter: int, file: Path) -> None:
        """Returns when `current` has it. Raises what `make` raises; then it is not wanted any more."""
        self._wanted[adapter] = file
        try:
            while adapter not in self.current.adapters:
                await asyncio.shield(self._follow())
        except BaseException:
            self._wanted.pop(adapter, None)
            raise

    def drop(self, adapter: int) -> None:
        """Its memory goes with the server that has it."""
        if self._wanted.pop(adapter, None) is not None:
            self._follow().add_done_callback(_note_failure)

    async def close(self) -> None:
        """Everything is aborted."""
        for task in (self._following, self._draining):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for generation in (self._old, self.current):
            if generation is not None:
                await generation.close()

    def _follow(self) -> "asyncio.Task[None]":
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._change())
        return self._following

    async def _change(self) -> None:
        """Until the current server has what is wanted, and nothing else."""
        while self.current.adapters != self._wanted.keys():
            if self._wanted.keys() < self.current.adapters:
                await asyncio.sleep(DROP_AFTER_S)
            if self._draining is not None:
                await asyncio.shield(self._draining)
            fresh = await asyncio.to_thread(self._make, dict(self._wanted))
            self._old, self.current = self.current, fresh
            self._draining = asyncio.create_task(self._drain(self._old))

    async def _drain(self, old: Generation) -> None:
        await old.idle()
        await old.close()
        self._old = None


def _note_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        log.error("llama.cpp could not be started with fewer adapters", exc_info=failure)
