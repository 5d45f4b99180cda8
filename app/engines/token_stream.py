"""Deltas from an engine's own task to the one that answers, with a future and nothing else between them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from app.types import Delta


class TokenStream:
    """One request's deltas: `async for` them, and `aclose()` however it ends.

    The engine calls `put` and `fail`. Deltas that come faster than they are taken are joined, so a slow reader costs
    no memory. One task takes at a time. `begin` is awaited when the first delta is asked for, `end` when a stream that
    was begun is closed.
    """

    def __init__(self, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        self._begin = begin
        self._end = end
        self._begun = self._closed = self._finished = False
        self._waiting: asyncio.Future[Delta] | None = None
        self._untaken: Delta | None = None
        self._error: Exception | None = None

    def put(self, delta: Delta) -> None:
        """`delta` is the last one if it has a finish reason."""
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_result(delta)
            self._waiting = None
        else:
            self._untaken = delta if self._untaken is None else joined(self._untaken, delta)
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
        elif self._untaken is not None:
            next_delta.set_result(self._untaken)
            self._untaken = None
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
        await self._begin()
        return await self.__anext__()


def joined(first: Delta, second: Delta) -> Delta:
    return Delta(
        first.text + second.text,
        [*first.token_ids, *second.token_ids],
        second.finish_reason,
        first.cached_tokens or second.cached_tokens,
        first.logprobs + second.logprobs,
    )
