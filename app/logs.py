"""How far a start is, as lines of the log; the benchmark of starts reads them, and `/ready` shows them."""

import logging
import time
from typing import Final

PREFIX: Final = "start-up: "

log = logging.getLogger(__name__)


def log_startup(what: str) -> None:
    log.info("%s%s", PREFIX, what)


class StartSteps(logging.Handler):
    """Keeps the steps of one server's start: those that are reached between `watch` and `close`."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._began = time.monotonic()
        self._steps: list[tuple[str, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._steps.append((record.getMessage().removeprefix(PREFIX), time.monotonic() - self._began))

    def watch(self) -> None:
        log.setLevel(logging.INFO)
        log.addHandler(self)

    def close(self) -> None:
        log.removeHandler(self)
        super().close()

    @property
    def steps(self) -> list[tuple[str, float]]:
        """Each step that was reached, with the seconds since the beginning."""
        return list(self._steps)
