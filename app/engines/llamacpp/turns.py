"""Which requests may begin: adapters take turns.

llama.cpp computes only requests with equal adapters together, and goes on with those that run before it looks at
others: left to itself, requests without an adapter that follow one another would keep out one with an adapter for ever.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class Turns(Generic[R]):
    """At most `slots` requests run. While some with another adapter wait, those that run end and no more like them
    begin; then all that wait with the adapter whose turn it is begin, as many as there are slots.
    """

    def __init__(self, slots: int, begin: Callable[[R], None]) -> None:
        self._slots = slots
        self._begin = begin
        self._adapter: int | None = None
        self._running: set[R] = set()
        self._waiting: dict[int | None, deque[R]] = {}

    def ask(self, request: R, adapter: int | None) -> None:
        """It begins now or later."""
        self._waiting.setdefault(adapter, deque()).append(request)
        self._let_in()

    def leave(self, request: R) -> None:
        """It has ended, or waits no longer; neither is no matter."""
        self._running.discard(request)
        for adapter, waiting in tuple(self._waiting.items()):
            if request in waiting:
                waiting.remove(request)
            if not waiting:
                del self._waiting[adapter]
        self._let_in()

    def _let_in(self) -> None:
        if not self._running and self._waiting:
            self._adapter = next(iter(self._waiting))
        elif self._waiting.keys() - {self._adapter}:
            return
        waiting = self._waiting.pop(self._adapter, deque())
        while waiting and len(self._running) < self._slots:
            request = waiting.popleft()
            self._running.add(request)
            self._begin(request)
        if waiting:
            self._waiting[self._adapter] = waiting  # at the end: the others' turns come first
