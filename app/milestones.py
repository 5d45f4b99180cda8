"""How far a start is, as lines of the log; the benchmark of starts reads them."""

import logging
from typing import Final

PREFIX: Final = "start-up: "

log = logging.getLogger(__name__)


def reached(what: str) -> None:
    log.info("%s%s", PREFIX, what)
