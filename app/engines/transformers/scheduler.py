"""The loop that computes, in a thread of its own: requests join and leave between two steps.

A step computes the next token of every request whose prompt was read, and a piece of the prompts of others, in one call
of the model. Nothing but this thread touches the model; adapters are put in and taken out between steps too.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import torch

from app.engines.delta_stream import DeltaStream
from app.engines.transformers.attention import Segment
from app.engines.transformers.model import StepModel
from app.engines.transformers.sequence import RunningSequence
from app.errors import InternalError, JsonModeUnmet
from app.types import Delta

log = logging.getLogger(__name__)

Outcome = tuple[DeltaStream, Delta | Exception]
Deliver = Callable[[list[Outcome]], None]


class Scheduler:
    """`deliver` is called in this thread, once per step, with what each request got.

    At most `max_rows` requests run at once, whose `max_tokens` are `kv_tokens` together; others wait in order. A step
    has one token for each running answer, and at most `step_tokens` of prompts, which are cut into pieces of that size.
    """

    def __init__(
        self,
        model: StepModel,
        deliver: Deliver,
        *,
        max_rows: int,
        kv_tokens: int,
        step_tokens: int,
        threads: int,
    ) -> None:
        self._model = model
        self._deliver = deliver
        self._max_rows = max_rows
        self._kv_tokens = kv_tokens
        self._step_tokens = step_tokens
        self._threads = threads
        self._wake = threading.Condition()
        self._waiting: deque[RunningSequence] = deque()
        self._jobs: deque[tuple[Callable[[], object], Future[None]]] = deque()
        self._rows: list[RunningSequence] = []
        self._closing = False
        self._clock: int | None = None
        self._thread = threading.Thread(target=self._run, name="transformers-scheduler", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def running(self) -> int:
        """Requests that are not finished, those that wait included."""
        return len(self._rows) + len(self._waiting)

    @property
    def computed_s(self) -> float:
        """Processor time of the thread in seconds; it takes part in whatever torch's other threads compute. Where the
        system does not tell, it counts as computing all the time.
        """
        if self._clock is None:
            return time.monotonic()
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # the thread has ended
            return 0.0

    def start(self) -> None:
        self._thread.start()

    def submit(self, row: RunningSequence) -> None:
        """Raises InternalError when the scheduler has ended."""
        with self._wake:
            if self._closing:
                raise InternalError
            self._waiting.append(row)
            self._wake.notify()

    def abort(self, row: RunningSequence) -> None:
        """It leaves before the next step; a finished one has left already."""
        with self._wake:
            row.aborted = True
            self._wake.notify()

    def between_steps(self, job: Callable[[], object]) -> "Future[None]":
        """Run `job` in this thread when no step does. What it raises is the future's; InternalError where the scheduler
        has ended.
        """
        future: Future[None] = Future()
        with self._wake:
            if self._closing:
                future.set_exception(InternalError())
            else:
                self._jobs.append((job, future))
                self._wake.notify()
        return future

    def close(self) -> None:
        """End the thread after its step. Every request that is not finished fails with InternalError."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def fail(self) -> None:
        """Whoever waits is told that nothing more comes, although the thread does not end."""
        with self._wake:
            self._closing = True
            left = [*self._rows, *self._waiting]
        self._deliver([(row.stream, InternalError()) for row in left])

    def _run(self) -> None:
        if sys.platform == "linux":
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
        torch.set_num_threads(self._threads)
        try:
            while self._wait():
                self._do_jobs()
                self._change_rows()
                if self._rows:
                    self._step()
        finally:  # also when this loop itself is at fault: nobody may wait for ever
            with self._wake:
                self._closing = True
                left = [*self._rows, *self._waiting]
                self._rows = []
                self._waiting.clear()
                jobs, self._jobs = self._jobs, deque()
            for _, future in jobs:
                if future.set_running_or_notify_cancel():  # its owner may have given it up
                    future.set_exception(InternalError())
            if left:
                self._deliver([(row.stream, InternalError()) for row in left])

    def _wait(self) -> bool:
        """For something to do; False when it is time to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._closing or self._rows or self._waiting or self._jobs)
            return not self._closing

    def _do_jobs(self) -> None:
        while self._jobs:
            job, future = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                job()
            except Exception as error:  # noqa: BLE001  it goes to the caller, who waits for the future
                future.set_exception(error)
            else:
                future.set_result(None)

    def _change_rows(self) -> None:
        """Drop what was aborted, and let in who waits, in order, while there is room."""
        with self._wake:
            for row in [row for row in self._rows if row.aborted]:
                self._leave(row)
            self._waiting = deque(row for row in self._waiting if not row.aborted)
            taken = sum(row.max_tokens for row in self._rows)
            while self._waiting and len(self._rows) < self._max_rows:
                taken += self._waiting[0].max_tokens
                if taken > self._kv_tokens:
                    return
                self._rows.append(self._waiting.popleft())

    def _step(self) -> None:
        rows = list(self._rows)
        try:
            outcomes = self._compute()
        except Exception:  # the supervisor of the step: whatever it was, the next step may well succeed
            ids = ", ".join(row.request_id for row in rows)
            log.exception("a step failed, and with it the requests %s", ids)
            outcomes = [(row.stream, InternalError()) for row in rows]
            for row in tuple(self._rows):
                self._leave(row)
        if outcomes:
            self._deliver(outcomes)

    @torch.inference_mode()
    def _compute(self) -> list[Outcome]:
        segments: list[Segment] = []
        token_ids: list[int] = []
        names: list[str] = []
        drawing: list[RunningSequence] = []
        ends: list[int] = []
        for row, count in self._shares():
            if row.cache is None:
                row.cache = self._model.cache(row.max_tokens)
            segment, tokens = row.take(count)
            segments.append(segment)
            token_ids += tokens
            names += [row.adapter] * count
            if not row.due:
                drawing.append(row)
                ends.append(len(token_ids) - 1)
        logits = self._model.logits(segments, token_ids, names, ends).cpu()
        return [self._answer(row, logits[index]) for index, row in enumerate(drawing)]

    def _shares(self) -> list[tuple[RunningSequence, int]]:
        """How many tokens of each request the step has. Who waits for one token always has it; of prompts as many pieces
        as have room together, each whole: where a prompt is cut changes the last bits of what is computed, and must
        not depend on what else runs.
        """
        room, shares = self._step_tokens, list[tuple[RunningSequence, int]]()
        for row in self._rows:
            count = min(row.due, self._step_tokens)
            if count == 1 or count <= room:
                shares.append((row, count))
                room -= count if count > 1 else 0
        return shares

    def _answer(self, row: RunningSequence, logits: torch.Tensor) -> Outcome:
        """What goes wrong with one request does not end the others."""
        try:
            delta = row.answer(logits)
        except JsonModeUnmet as error:
            self._leave(row)
            return row.stream, error
        except Exception:  # the supervisor of the request
            log.exception("the request %s failed", row.request_id)
            self._leave(row)
            return row.stream, InternalError()
        if delta.finish_reason is not None:
            self._leave(row)
        return row.stream, delta

    def _leave(self, row: RunningSequence) -> None:
        """Its memory goes now: whoever reads the answer may do so for long."""
        self._rows.remove(row)
        row.cache = None
