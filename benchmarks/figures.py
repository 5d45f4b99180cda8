"""One turn's numbers in part "engine", and an arm's over all of its turns."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MS = 1000
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn. CPU seconds are of the server process, and of the engine's processes below it."""

    arm: str
    case: str
    clients: int
    seconds: float
    streams: int
    tokens: int
    first_p50_s: float
    first_p99_s: float
    gap_p99_s: float
    server_cpu_s: float
    engine_cpu_s: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of the turns; CPU seconds per 1000 tokens are of all turns together, because they tick in 10 ms."""

    streams_per_s: float
    streams_range: tuple[float, float]
    tokens_per_s: float
    first_p50_ms: float
    first_p99_ms: float
    gap_p99_ms: float
    server_cpu_s: float
    engine_cpu_s: float
    rss_mib: float


def figures_of(samples: Sequence[Sample], case: str, clients: int, arm: str) -> Figures:
    """Of the turns of one arm under one load."""
    mine = [sample for sample in samples if (sample.case, sample.clients, sample.arm) == (case, clients, arm)]
    rates = [sample.streams / sample.seconds for sample in mine]
    thousands = sum(sample.tokens for sample in mine) / 1000
    return Figures(
        streams_per_s=statistics.median(rates),
        streams_range=(min(rates), max(rates)),
        tokens_per_s=statistics.median(sample.tokens / sample.seconds for sample in mine),
        first_p50_ms=statistics.median(sample.first_p50_s for sample in mine) * MS,
        first_p99_ms=statistics.median(sample.first_p99_s for sample in mine) * MS,
        gap_p99_ms=statistics.median(sample.gap_p99_s for sample in mine) * MS,
        server_cpu_s=sum(sample.server_cpu_s for sample in mine) / thousands,
        engine_cpu_s=sum(sample.engine_cpu_s for sample in mine) / thousands,
        rss_mib=statistics.median(sample.rss_bytes for sample in mine) / MIB,
    )


def loads_of(samples: Sequence[Sample], case: str) -> tuple[list[int], list[str]]:
    """The numbers of clients, ascending, and the arms, in the order of their first turns."""
    mine = [sample for sample in samples if sample.case == case]
    return sorted({sample.clients for sample in mine}), list(dict.fromkeys(sample.arm for sample in mine))
