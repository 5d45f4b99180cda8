"""Part "front": CPU time of our front end with the fake engine, beside an empty program of the same libraries.

Two servers live at a time and are loaded in turn (A B B A), so that what slows the machine for a while hits both.
"""

import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.accounts.development import TOKEN_FILE
from app.standin.expand import ensure_expanded
from benchmarks.errors import BenchError
from benchmarks.load import Load, closed_loop, post
from benchmarks.ours import MERGED
from benchmarks.processes import Child, accepts, answers_200, cpu_s, free_port
from benchmarks.report import Part

MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"
PATH = f"/client/v4/accounts/local/ai/run/{MODEL}"
PROMPT = "Please tell me in a sentence what this server does and how clients send request %08d to it."
"""95 characters with the number, which makes every request another text: the tokenizer remembers texts."""
EMPTY_TOKEN = "x" * 46  # as long as one of ours; nobody looks at it
START_S = 30.0
US = 1e6


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load: "unary", or "streams" of `per_request` tokens each, `merged` of them in one event.

    CPU time is given per unit. `target` is in units of the empty program, or microseconds where that has no such load.
    """

    kind: str
    unit: str
    clients: int
    rounds: int
    target: float
    per_request: int = 1
    merged: int = 1

    @property
    def units(self) -> int:
        return self.clients * self.rounds * self.per_request


@dataclass(frozen=True, slots=True)
class Target:
    """A running server; `token` is what its requests carry."""

    name: str
    port: int
    token: str
    child: Child

    @property
    def cpu_s(self) -> float:
        return cpu_s([psutil.Process(self.child.process.pid)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """CPU microseconds per unit, one value per turn."""

    case: Case
    ours_us: list[float]
    empty_us: list[float]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.ours_us), statistics.median(self.empty_us or [0.0])


CASES = (
    Case("unary", "unary request", clients=16, rounds=600, target=1.5),
    Case("streams", "streamed token", clients=64, rounds=1, target=1.3, per_request=300),
    Case(
        "merged", "token, 8 in a write", clients=64, rounds=1, target=4.0, per_request=8 * 200, merged=MERGED
    ),
)
TURNS = ("ours", "empty", "empty", "ours") * 2


def run(folder: Path, cases: Sequence[Case] = CASES, turns: Sequence[str] = TURNS) -> Part:
    """`folder` is for logs and data. Raises BenchError."""
    outcomes = [_measure(case, turns, folder) for case in cases]
    return Part(
        name="front",
        title="Front end with the fake engine: CPU time of the server process",
        columns=("per", "ours us", "range", "empty program us", "range", "ours / empty", "target"),
        rows=[_row(outcome) for outcome in outcomes],
        notes=list(_notes(cases, turns)),
        samples=outcomes,
    )


def _measure(case: Case, turns: Sequence[str], folder: Path) -> Outcome:
    with ExitStack() as stack:
        targets = {"ours": _ours(case, folder, stack)}
        if case.merged == 1:
            targets["empty"] = _empty(case, folder, stack)
        for target in targets.values():  # one turn that does not count: imports, caches, allocator
            _turn(case, target, 0)
        us: dict[str, list[float]] = {name: [] for name in ("ours", "empty")}
        for number, name in enumerate(turns, 1):
            if name in targets:
                us[name].append(_turn(case, targets[name], number))
    return Outcome(case, us["ours"], us["empty"])


def _turn(case: Case, target: Target, number: int) -> float:
    requests = _requests(case, target, number)
    with target.child.loaded():
        before = target.cpu_s
        load = closed_loop(target.port, requests, clients=case.clients, rounds=case.rounds)
        used = target.cpu_s - before
    _check(case, target, load)
    return used / case.units * US


def _requests(case: Case, target: Target, turn: int) -> list[bytes]:
    each = case.clients * case.rounds
    options = {} if case.kind == "unary" else {"stream": True, "max_tokens": case.per_request}
    prompts = (PROMPT % number for number in range(turn * each, (turn + 1) * each))
    return [post(PATH, {"prompt": prompt, **options}, target.token) for prompt in prompts]


def _check(case: Case, target: Target, load: Load) -> None:
    """The work was done: a stream has an event for each delta (ours has two more: the usage and the end)."""
    if case.kind == "unary":
        return
    for answer in load.answers:
        events = answer.body.count(b"data: ")
        wanted = math.ceil(case.per_request / case.merged) + (2 if target.name == "ours" else 0)
        if events != wanted:
            raise BenchError(f"{target.name}: a stream of {events} events instead of {wanted}")


def _ours(case: Case, folder: Path, stack: ExitStack) -> Target:
    port, data = free_port(), folder / "data"
    command = [sys.executable, "-m", "benchmarks.ours", case.kind, str(port), str(data)]
    child = stack.enter_context(Child(command, folder / "ours.log"))
    child.wait_until(answers_200(port, "/ready"), START_S)
    token = (data / TOKEN_FILE).read_text().strip()
    return Target("ours", port, token, child)


def _empty(case: Case, folder: Path, stack: ExitStack) -> Target:
    port = free_port()
    tokenizer = ensure_expanded(folder / "data") / "tokenizer.json"
    detail = tokenizer if case.kind == "unary" else case.per_request
    command = [sys.executable, "-m", "benchmarks.empty", case.kind, str(port), str(detail)]
    child = stack.enter_context(Child(command, folder / "empty.log"))
    child.wait_until(accepts(port), START_S)
    return Target("empty", port, EMPTY_TOKEN, child)


def _row(outcome: Outcome) -> tuple[str, ...]:
    ours, empty = outcome.medians
    return (
        outcome.case.unit,
        f"{ours:.1f}",
        _range(outcome.ours_us),
        f"{empty:.1f}" if empty else "-",
        _range(outcome.empty_us) if empty else "-",
        f"{ours / empty:.2f}" if empty else "-",
        f"<= {outcome.case.target:.1f}" + ("" if outcome.empty_us else " us"),
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f}-{max(values):.1f}"


def _notes(cases: Sequence[Case], turns: Sequence[str]) -> Iterator[str]:
    order = "".join("A" if name == "ours" else "B" for name in turns)
    yield f"Medians of {len(turns) // 2} turns each, order {order}; keep-alive, no pipelining."
    for case in cases:
        requests = case.clients * case.rounds
        yield f"{case.unit}: {requests} requests a turn, {case.clients} at a time, {case.per_request} each."
