"""One xllamacpp.Server with its adapters, given at its start and the same until its end; and which requests may begin.

llama.cpp computes only requests with equal adapters together, and goes on with those that run before it looks at others:
left to itself, requests without an adapter that follow one another would keep out one with an adapter for ever. So
adapters take turns.
"""

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from app.engines.delta_stream import DeltaStream
from app.engines.llamacpp.chunks import TokenIds
from app.engines.llamacpp.plan import LlamaCppPlan, server_params
from app.engines.llamacpp.request import Answer
from app.errors import InternalError, StartupError
from app.types import Sampling

R = TypeVar("R")

log = logging.getLogger(__name__)

SOCKET_FOLDER: Final = "/tmp"  # noqa: S108  a private folder is made in it; a socket's name has 107 bytes at most
FIRST_REQUEST: Final = {"prompt": [1], "n_predict": 1, "cache_prompt": False}
"""Asked at once: a server that is ended before it has begun to wait for requests never ends."""


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


class LlamaServer:
    """Made in a thread: it reads the weights. `adapters` are files by a lease's id; no other id can be asked for."""

    def __init__(
        self, xllamacpp: Any, plan: LlamaCppPlan, ids: TokenIds, adapters: Mapping[int, Path]
    ) -> None:
        """Raises StartupError when llama.cpp can't."""
        self._plan = plan
        self._ids = ids
        self._places = {int_id: place for place, int_id in enumerate(adapters)}
        with tempfile.TemporaryDirectory(dir=SOCKET_FOLDER) as private:  # its socket's name goes with it
            params = server_params(xllamacpp, plan, list(adapters.values()), Path(private))
            try:
                self._server: Any = xllamacpp.Server(params)
                self._server.handle_completions(FIRST_REQUEST)
            except RuntimeError as error:
                raise StartupError(
                    f"weights: {plan.gguf}: llama.cpp can't load it, with {plan.slots} requests of {plan.context} "
                    f"tokens at once and {len(adapters)} adapters: fetch it again, or free memory ({error})"
                ) from error
        self._threads = ThreadPoolExecutor(plan.slots, thread_name_prefix="llamacpp")
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="llamacpp-heartbeat")
        self._turns = Turns[Answer](plan.slots, self._submit)
        self._streams: dict[Answer, DeltaStream] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def adapters(self) -> frozenset[int]:
        return frozenset(self._places)

    @property
    def running(self) -> int:
        """Requests that are in llama.cpp or wait for their turn."""
        return len(self._streams)

    def begin(
        self, stream: DeltaStream, prompt: list[int], sampling: Sampling, *, adapter: int | None
    ) -> Answer:
        """`adapter` is a lease's id. Raises InternalError for one that is not here: llama.cpp would not."""
        if adapter is not None and adapter not in self._places:
            log.error("adapter %d is not loaded", adapter)
            raise InternalError
        place = None if adapter is None else self._places[adapter]
        answer = Answer(prompt, sampling, self._ids, adapter=place, window=self._plan.context)
        self._streams[answer] = stream
        self._idle.clear()
        self._turns.ask(answer, adapter)
        return answer

    def abort(self, answer: Answer) -> None:
        """One that still waits never begins; another ends with its next token, and its slot is free then."""
        answer.aborted = True
        if answer in self._streams and not answer.begun:
            self._gone(answer)

    async def beat(self) -> None:
        """Returns when llama.cpp's loop has answered: it counts its work between two steps."""
        await asyncio.get_running_loop().run_in_executor(self._asking, self._count)

    def fail(self) -> None:
        """Whoever waits is told; llama.cpp is left as it is, because it does not answer any more."""
        for answer, stream in self._streams.items():
            answer.aborted = True
            stream.fail(InternalError())

    async def idle(self) -> None:
        """Returns when nothing runs here."""
        await self._idle.wait()

    async def close(self) -> None:
        """Aborts what runs, with an InternalError for who waits; returns when llama.cpp is gone with its memory."""
        for answer, stream in tuple(self._streams.items()):
            self.abort(answer)
            stream.fail(InternalError())
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._asking.shutdown(cancel_futures=True)
        self._server = None  # its destructor waits for llama.cpp's threads

    def _count(self) -> None:
        self._server.handle_metrics()

    def _submit(self, answer: Answer) -> None:
        answer.begun = True
        loop, stream = asyncio.get_running_loop(), self._streams[answer]
        future = self._threads.submit(answer.run, self._server, stream)
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._done, answer, done))

    def _done(self, answer: Answer, future: "Future[None]") -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("an answer could not be read", exc_info=error)
            self._streams[answer].fail(InternalError())
        self._gone(answer)

    def _gone(self, answer: Answer) -> None:
        del self._streams[answer]
        self._turns.leave(answer)
        if not self._streams:
            self._idle.set()
