"""Several worker processes for what clients wrote, and whose turn it is: accounts take turns, however much each asks."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from app.errors import OutOfCapacity
from app.inference.constrained.worker import BUSY_RETRY_AFTER_S, WorkerProcess

WORKERS: Final = 2
WAIT_MAX_S: Final = 15.0
"""How long a job may wait for a worker. Then the client is asked to come again."""


class WorkerPool:
    """At most `workers` processes of `module`, each started at need.

    Of the accounts with waiting jobs the one that had its turn longest ago is next. So the jobs of one account delay
    another's by no more than the job that ends first.
    """

    def __init__(
        self,
        module: str,
        arguments: Callable[[], tuple[str, ...]] = tuple,
        *,
        workers: int = WORKERS,
        wait_max_s: float = WAIT_MAX_S,
    ) -> None:
        self._wait_max_s = wait_max_s
        self.workers = tuple(WorkerProcess(module, arguments) for _ in range(workers))
        self._idle = list(self.workers)
        self._waiting: dict[str, deque[asyncio.Future[WorkerProcess]]] = {}
        self._turns = itertools.count(1)
        self._last_turn: dict[str, int] = {}
        self._jobs: set[asyncio.Task[Any]] = set()

    async def ask(self, job: dict[str, Any], limit_s: float, account_id: str = "") -> dict[str, Any]:
        """The worker's answer. Raises TooSlow after `limit_s` seconds of work, Broken, OutOfCapacity.

        A job that was begun is done to its end, also when its client leaves: what the worker says next must not be taken
        for another's.
        """
        worker = await self._turn_of(account_id)
        task = asyncio.create_task(self._work(worker, job, limit_s))
        self._jobs.add(task)
        task.add_done_callback(self._forget)
        answer: dict[str, Any] = await asyncio.shield(task)
        return answer

    async def stop(self) -> None:
        """End what runs and what waits: a job that got its turn now would start a process that nobody ends."""
        for turn in itertools.chain.from_iterable(self._waiting.values()):
            turn.cancel()
        for task in tuple(self._jobs):
            task.cancel()
        for worker in self.workers:
            await worker.stop()

    async def _work(self, worker: WorkerProcess, job: dict[str, Any], limit_s: float) -> dict[str, Any]:
        try:
            return await worker.ask(job, limit_s)
        finally:
            self._release(worker)

    async def _turn_of(self, account_id: str) -> WorkerProcess:
        if self._idle:  # then nobody waits
            self._last_turn[account_id] = next(self._turns)
            return self._idle.pop()
        turn: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account_id, deque()).append(turn)
        try:
            async with asyncio.timeout(self._wait_max_s):
                return await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release(turn.result())  # its turn came as it gave up
            turn.cancel()
            if isinstance(error, TimeoutError):
                raise OutOfCapacity("Too many JSON schemas are being read.", BUSY_RETRY_AFTER_S) from None
            raise

    def _release(self, worker: WorkerProcess) -> None:
        """To the next who still waits."""
        while self._waiting:
            account_id = min(self._waiting, key=lambda each: self._last_turn.get(each, 0))
            turns = self._waiting[account_id]
            turn = turns.popleft()
            if not turns:
                del self._waiting[account_id]
            if not turn.done():
                self._last_turn[account_id] = next(self._turns)
                turn.set_result(worker)
                return
        self._last_turn.clear()
        self._idle.append(worker)

    def _forget(self, job: asyncio.Task[Any]) -> None:
        self._jobs.discard(job)
        if not job.cancelled():
            job.exception()  # looked at, also where nobody waits for it any more
