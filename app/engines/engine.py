"""The engine contract, and what engines have in common when they start and stop.

`http` and `inference` know this file and no engine; `server` injects one.
"""

import asyncio
import ctypes
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from app.errors import OutOfCapacity
from app.types import Delta, Prompt, Sampling, StoredAdapter

POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """`reason` says in one line why an engine failed, fit to be shown to the operator (never to a client)."""

    state: Literal["starting", "ready", "failed", "stopped"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LeasedAdapter:
    """A resident adapter: valid while the lease that gave it is held. `int_id` is never reused in an engine's life."""

    stored: StoredAdapter
    int_id: int


def not_ready() -> OutOfCapacity:
    """What an engine raises that has not started or has stopped."""
    return OutOfCapacity("The engine is not ready.")


class Deltas(Protocol):
    """Iterate it once; close it however it ends: that aborts a request that is not finished."""

    def __aiter__(self) -> AsyncIterator[Delta]: ...
    def __anext__(self) -> Awaitable[Delta]: ...
    def aclose(self) -> Awaitable[None]: ...


class Engine(Protocol):
    """Turns prompts into deltas. Raises only leaves of `app.errors`.

    `compiles_grammars` says that it keeps answers to `Sampling.grammar`, with xgrammar: each is tried out before.
    `has` names the fields of `Sampling` that it serves, of those that not every engine has.
    """

    compiles_grammars: bool
    has: frozenset[str]

    async def start(self) -> None:
        """Return when requests can be served. Raises `app.errors.StartupError` with what to change."""

    async def stop(self, drain_s: float) -> None:
        """Wait up to `drain_s` seconds for running requests, abort the rest, end every child process."""

    def health(self) -> EngineHealth: ...

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        """Make the adapter resident and keep it so while the lease is held; waits when every slot is leased."""

    async def forget(self, adapter: StoredAdapter) -> None:
        """Drop the adapter from memory as soon as no lease holds it."""

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling,
        *,
        request_id: str,
        adapter: LeasedAdapter | None,
        cache_salt: str,
    ) -> Deltas:
        """Deltas until one carries a finish reason. The engine begins when the first is asked for.

        `cache_salt` (never empty) keeps accounts apart in the prefix cache.
        """


def first_line(cause: BaseException) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


async def drained(running: Callable[[], int], drain_s: float) -> None:
    """Returns when nothing runs, or after `drain_s` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain_s
    while running() and loop.time() < deadline:  # noqa: ASYNC110  rare: once, at the end
        await asyncio.sleep(POLL_S)


def freeze_memory() -> None:
    """Starting leaves a million objects that stay, and garbage: no later collection need look at the ones, and the
    memory of the other goes back to the system.
    """
    gc.freeze()
    trim()


def settle_memory() -> None:
    """The same after a start that is not the first: what was frozen before may be garbage by now. Takes a second."""
    gc.unfreeze()
    gc.collect()
    freeze_memory()


def trim() -> None:
    """glibc's `malloc_trim`, which lets other threads run meanwhile; other allocators do it by themselves."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
