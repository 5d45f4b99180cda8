"""Whether an engine is alive, and what is done about one that is not.

An engine is alive when its loop goes round, not when its process exists. The loop is asked by a heartbeat, which it
answers between two steps. No answer has two causes: a step takes long, or nothing goes on any more. They differ in
processor time: a step computes, and what is stopped or waits for a lock does not.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from app.errors import EngineLost

BEATS: Final = 10
"""So many times within the shortest limit an engine is looked at."""

BEAT_MAX_S: Final = 5.0
COMPUTING_SHARE: Final = 0.05
"""Of one core. A step has at least one of them; what only receives requests has less."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
HEALTHY_S: Final = 600.0
"""An engine that has served for so long is started again without a long pause."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """`stall_s`: how long an engine may neither answer nor compute; `step_s`: how long a step may compute.

    `give_up_s`: how long an engine is started again in vain, None for ever. `lost` is told of one that can't go on.
    `starting` is held by the engine that starts: they import the same packages and count the same free memory.
    """

    stall_s: float = 30.0
    step_s: float = 1800.0
    give_up_s: float | None = None
    lost: Callable[[EngineLost], object] = lambda failure: None
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


class Heart:
    """`beat` returns when the engine's loop has answered, and raises EngineLost when it never will. `computed_s` gives
    the processor time in seconds that the engine has used so far; without it a silent engine counts as one that computes.
    """

    def __init__(
        self,
        beat: Callable[[], Awaitable[object]],
        computed_s: Callable[[], float] | None,
        supervision: Supervision,
    ) -> None:
        self._beat = beat
        self._computed_s = computed_s
        self._stall_s, self._step_s = supervision.stall_s, supervision.step_s
        self._interval_s = min(min(self._stall_s, self._step_s) / BEATS, BEAT_MAX_S)

    async def stopped(self) -> str:
        """Returns when the heart has stopped, with what is known of it as the end of a sentence."""
        while True:
            found = await self._one()
            if found is not None:
                return found
            await asyncio.sleep(self._interval_s)

    async def _one(self) -> str | None:
        """What else `beat` raises is of an engine that dies, which is told of elsewhere.

        Time is counted in looks: while this process itself was stopped nobody could answer.
        """
        beat = asyncio.ensure_future(self._beat())
        silent_s = 0.0
        computed: deque[float] = deque(maxlen=round(self._stall_s / self._interval_s) + 1)
        try:
            while not beat.done():
                self._note(computed)
                if self._idle(computed):
                    return f"has neither answered nor computed for {self._stall_s:g} s"
                if silent_s >= self._step_s:
                    return f"has been in one step for {self._step_s:g} s"
                await asyncio.wait([beat], timeout=self._interval_s)
                silent_s += self._interval_s
        finally:
            beat.cancel()
            await asyncio.wait([beat])
        failure = None if beat.cancelled() else beat.exception()
        return str(failure) if isinstance(failure, EngineLost) else None

    def _note(self, computed: deque[float]) -> None:
        if self._computed_s is not None:
            computed.append(self._computed_s())

    def _idle(self, computed: deque[float]) -> bool:
        """Whether next to nothing was computed in a whole `stall_s`."""
        return (
            len(computed) == computed.maxlen and computed[-1] - computed[0] < COMPUTING_SHARE * self._stall_s
        )


class Pauses:
    """Before each start of an engine that has died: 1, 2, 4 … 60 seconds, and 1 again after ten healthy minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_s = FIRST_PAUSE_S
        self._serves_since: float | None = None

    def served(self) -> None:
        """The engine serves from now on."""
        self._serves_since = self._clock()

    def next_s(self) -> float:
        since, self._serves_since = self._serves_since, None
        if since is not None and self._clock() - since >= HEALTHY_S:
            self._next_s = FIRST_PAUSE_S
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, LONGEST_PAUSE_S)
        return pause_s
