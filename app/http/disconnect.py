"""The client may leave at any time: then the work for it stops.

Starlette cancels a stream when its client leaves but lets a unary handler run on; here both are watched alike.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class ClientLeft(Exception):
    """The connection is gone: there is nobody to answer."""


class SlowReader(ClientLeft):
    """The client stopped reading for longer than it may."""


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client leaves and raise ClientLeft in its place.

    Use it after the body was read: `receive` then returns only when the connection ends.
    """
    task = asyncio.current_task()
    assert task is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
        if left:
            await asyncio.sleep(
                0
            )  # the cancellation is under way: it must arrive here, not in what comes after
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
