"""What strangers do is counted and told in one line a minute: nobody without a token may fill the log."""

import asyncio
import logging
from collections import Counter

TELL_S = 60.0

log = logging.getLogger(__name__)


class Tally:
    """For one event loop. The first event begins a minute, whose end writes the line."""

    def __init__(self, tell_s: float = TELL_S) -> None:
        self._tell_s = tell_s
        self._counted: Counter[str] = Counter()

    def count(self, what: str) -> None:
        """`what` is in words of the program, in the plural; nothing of a request belongs into it."""
        if not self._counted:
            asyncio.get_running_loop().call_later(self._tell_s, self._tell)
        self._counted[what] += 1

    def _tell(self) -> None:
        told = ", ".join(f"{number} {what}" for what, number in sorted(self._counted.items()))
        self._counted.clear()
        log.info("in the last %g s: %s", self._tell_s, told)
