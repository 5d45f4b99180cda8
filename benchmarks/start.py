"""Part "start": from `make serve` to the first token, part by part, from the milestones in the server's log.

Installed and with the stand-in expanded; a first start that does not count sees to both.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from app.accounts.development import TOKEN_FILE
from app.logs import PREFIX
from app.settings import CHECKOUT
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.report import Part
from benchmarks.upload import Api

ROUNDS = 3
START_S = 180.0
TARGET_S = 1.5

OURS, VLLM, BOTH = "ours", "vLLM's", "both"
STEPS: Mapping[str, str] = {
    "imports": OURS,
    "settings and cards": OURS,
    "database": OURS,
    "listening": OURS,
    "weights checked, settings chosen": OURS,
    "vLLM imported": VLLM,
    "vLLM configured": VLLM,
    "vLLM runs": VLLM,
    "ready": OURS,
    "first token": BOTH,
}
"""Each ends where it is reached, and begins where the one before ended, the first one with make. The tokenizer is read
beside vLLM."""

_LINE = re.compile(rf"^(\S+ \S+),(\d{{3}}) \S+ \S+ {re.escape(PREFIX)}(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds of each step, in the order of `STEPS`."""

    steps: Mapping[str, float]

    @property
    def ours_s(self) -> float:
        return sum(seconds for step, seconds in self.steps.items() if STEPS[step] == OURS)

    @property
    def whole_s(self) -> float:
        return sum(self.steps.values())


def run(folder: Path) -> Part:
    """Raises BenchError."""
    data = folder / "start-data"
    starts = [_start(data, folder / f"start-{number}.log") for number in range(ROUNDS + 1)][1:]
    rows = [_row(step, [start.steps[step] for start in starts], whose) for step, whose in STEPS.items()]
    ours = [start.ours_s for start in starts]
    target = "met" if median(ours) < TARGET_S else "missed"
    return Part(
        name="start",
        title="From make serve to the first token",
        columns=("until", "seconds", "range", "whose"),
        rows=[
            *rows,
            _row("all that is ours", ours, f"target < {TARGET_S}: {target}"),
            _row("all of it", [start.whole_s for start in starts], ""),
        ],
        notes=[f"Medians of {ROUNDS} starts; each step from the end of the one before."],
        samples=starts,
    )


def _start(data: Path, log: Path) -> Start:
    port = free_port()
    server_log = data / "server.log"
    server_log.unlink(missing_ok=True)
    # The benchmark is started by a make of its own, whose ARGS are not for this one.
    environment = {"PORT": str(port), "OUTWORKER_DATA_DIR": str(data), "MAKEFLAGS": "", "ARGS": ""}
    began = time.time()
    with Child(["make", "-s", "-C", str(CHECKOUT), "serve"], log, environment) as child:
        child.wait_until(answers_200(port, "/ready"), START_S)
        token = (data / TOKEN_FILE).read_text().strip()
        first_token_s = Api(port, token).first_token_s(None)
    log_startup = dict(_milestones(server_log.read_text()))
    log_startup["first token"] = log_startup["ready"] + first_token_s
    return Start(dict(_steps(began, log_startup)))


def _milestones(log: str) -> Iterator[tuple[str, float]]:
    """What was reached, and when, in seconds since the epoch."""
    for moment, thousandths, what in _LINE.findall(log):
        yield what, datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").timestamp() + int(thousandths) / 1000


def _steps(began: float, log_startup: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    before = began
    for step in STEPS:
        yield step, max(log_startup[step] - before, 0.0)
        before = log_startup[step]


def _row(name: str, seconds: list[float], whose: str) -> list[str]:
    return [name, f"{median(seconds):.2f}", f"{min(seconds):.2f}-{max(seconds):.2f}", whose]
