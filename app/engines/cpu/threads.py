"""How many threads an engine computes with that runs in this process."""

import os
from collections.abc import Mapping
from typing import Final

from app.engines.choices import Choice
from app.engines.cpu.host import read_host
from app.engines.cpu.tuning import compute_threads

VARIABLE: Final = "OMP_NUM_THREADS"


def chosen_threads(exported: Mapping[str, str] = os.environ) -> tuple[int, Choice]:
    """What the operator exported, else what the cores that this process may use suggest; and that for people."""
    by_hand = exported.get(VARIABLE, "")
    host = read_host()
    set_by_hand = by_hand.isdecimal() and int(by_hand) > 0
    threads = int(by_hand) if set_by_hand else compute_threads(host)
    why = "exported" if set_by_hand else f"of {host.cores} cores"
    return threads, Choice("threads", str(threads), why, f"the environment's {VARIABLE}")
