"""Part "engine": streamed tokens per second with vLLM and the stand-in, beside AsyncLLM and vLLM's own server.

One engine lives at a time. The servers are started in an order and then in its mirror image, and the numbers of
clients likewise, so that a machine that gets slower or faster meanwhile does so for all.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arms import ARMS, Arm, Running
from benchmarks.processes import cpu_s, descendants
from benchmarks.report import Part
from benchmarks.weights import endless_standin
from benchmarks.workload import CLIENTS, KV_CACHE_GIB, ROUNDS, TEMPERATURE, TOKENS, Work, check_equal

WARM_UP = (16, 1)
TURNS = (*CLIENTS, *reversed(CLIENTS))


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: CPU seconds of the server process, and of the engine's processes below it."""

    arm: str
    clients: int
    work: Work
    server_cpu_s: float
    engine_cpu_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.work.tokens / self.work.seconds


def run(folder: Path, arms: Sequence[Arm] = ARMS) -> Part:
    """`folder` is for logs, data and weights. Raises BenchError."""
    weights = endless_standin(folder)
    samples: list[Sample] = []
    for arm in order(arms):
        with arm.start(weights, folder) as running:
            running.work(*WARM_UP)
            samples += [_turn(arm, running, clients) for clients in TURNS]
    check_equal([sample.work for sample in samples])
    return Part(
        name="engine",
        title="vLLM with the stand-in: streamed tokens per second",
        columns=("clients", "server", "tokens/s", "range", "ours / this", "server CPU s", "engine CPU s"),
        rows=[_row(samples, arm, clients) for clients in CLIENTS for arm in arms],
        notes=_notes(arms),
        samples=samples,
    )


def order(arms: Sequence[Arm]) -> list[Arm]:
    """A B C D C B A: the last one is started once, in the middle of all others."""
    return [*arms, *reversed(arms[:-1])]


def _turn(arm: Arm, running: Running, clients: int) -> Sample:
    engine = descendants(running.server)
    server_before, engine_before = cpu_s([running.server]), cpu_s(engine)
    work = running.work(clients, ROUNDS[clients])
    server, own = cpu_s([running.server]) - server_before, cpu_s(engine) - engine_before
    return Sample(arm.name, clients, work, server, own)


def _row(samples: Sequence[Sample], arm: Arm, clients: int) -> tuple[str, ...]:
    mine = [sample for sample in samples if (sample.arm, sample.clients) == (arm.name, clients)]
    ours = [sample for sample in samples if (sample.arm, sample.clients) == (ARMS[0].name, clients)]
    rates = [sample.tokens_per_s for sample in mine]
    ratio = statistics.median(sample.tokens_per_s for sample in ours) / statistics.median(rates)
    thousands = sum(sample.work.tokens for sample in mine) / 1000
    return (
        str(clients),
        arm.name,
        f"{statistics.median(rates):.0f}",
        f"{min(rates):.0f}-{max(rates):.0f}",
        f"{ratio:.2f}",
        f"{sum(sample.server_cpu_s for sample in mine) / thousands:.3f}",
        f"{sum(sample.engine_cpu_s for sample in mine) / thousands:.3f}",
    )


def _notes(arms: Sequence[Arm]) -> list[str]:
    return [
        f"Medians. Every stream delivered {TOKENS} tokens by its usage, at temperature {TEMPERATURE}, from the "
        f"stand-in with its end token muted; LoRA on, KV cache {KV_CACHE_GIB} GiB.",
        "CPU s: seconds of CPU per 1000 delivered tokens, of the server process and of the engine's processes.",
        f"Order of starts: {', '.join(arm.name for arm in order(arms))}.",
        *(f"{arm.name}: {arm.what}." for arm in arms),
    ]
