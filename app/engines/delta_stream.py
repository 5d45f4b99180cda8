"""Deltas from an engine's own task to the one that answers, with a future and nothing else between them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from app.types import Delta


class DeltaStream:
    """One request's deltas: `async for` them, and `aclose()` however it ends.

    The engine calls `put` and `fail`. Deltas that come faster than they are taken are joined to one. One task takes at
    a time. `begin` is awaited when the first delta is asked for, `end` when a stream that was begun is closed.
    """

    def __init__(
        self, begin: "Callable[[DeltaStream], Awaitable[None]]", end: Callable[[], Awaitable[None]]
    ) -> None:
        self._begin = begin
        self._end = end
        self._begun = self._closed = self._finished = False
        self._waiting: asyncio.Future[Delta] | None = None
        self._untaken: list[Delta] = []
        self._error: Exception | None = None

    def put(self, delta: Delta) -> None:
        """`delta` is the last one if it has a finish reason."""
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(delta)
            self._waiting = None
        else:
            self._untaken.append(delta)
        if delta.finish_reason is not None:
            self._finished = True

    def fail(self, error: Exception) -> None:
        """Ends the stream where it stands: what was not taken yet is lost with it."""
        self._error = error
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Delta]:
        if not self._begun:
            return self._first()
        next_delta: asyncio.Future[Delta] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            next_delta.set_exception(self._error)
        elif self._untaken:
            next_delta.set_result(joined(self._untaken))
            self._untaken = []
        elif self._finished:
            next_delta.set_exception(StopAsyncIteration())
        else:
            self._waiting = next_delta
        return next_delta

    async def aclose(self) -> None:
        if self._begun and not self._closed:
            self._closed = True
            await self._end()

    async def _first(self) -> Delta:
        self._begun = True
        await self._begin(self)
        return await self.__anext__()


def joined(deltas: Sequence[Delta]) -> Delta:
    """Neighbours as one; there is at least one."""
    if len(deltas) == 1:
        return deltas[0]
    return Delta(
        "".join(delta.text for delta in deltas),
        [token for delta in deltas for token in delta.token_ids],
        deltas[-1].finish_reason,
        max(delta.cached_tokens for delta in deltas),
        tuple(logprob for delta in deltas for logprob in delta.logprobs),
        stop_text=deltas[-1].stop_text,
    )
