"""What the engines have in common when they start and stop."""

import asyncio
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
