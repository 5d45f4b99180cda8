"""What the engines have in common when they start and stop."""

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.05


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
