"""The tables of part "engine", one for each kind of load, and what stands below them."""

from collections.abc import Iterator, Sequence

from benchmarks.arms import OPENAI, WHAT
from benchmarks.figures import Figures, Sample, figures_of, loads_of
from benchmarks.report import Sheet
from benchmarks.workload import CHECK_TOKENS, TEMPERATURE

COLUMNS = (
    "server",
    "clients",
    "streams/s",
    "range",
    "tokens/s",
    "first p50",
    "p99 ms",
    "gap p99 ms",
    "server CPU s",
    "engine CPU s",
    "RSS MiB",
    "streams x",
    "first x",
    "CPU x",
)


def sheet(case: str, samples: Sequence[Sample]) -> Sheet:
    clients, arms = loads_of(samples, case)
    return Sheet(
        title=f"vLLM with the stand-in: {case}",
        columns=COLUMNS,
        rows=[_row(samples, case, number, arm) for number in clients for arm in arms],
    )


def notes() -> Iterator[str]:
    yield f"Medians. Each stream delivered every token by its usage, at temperature {TEMPERATURE}; LoRA on everywhere."
    yield f"All arms answered the same greedily: {CHECK_TOKENS} tokens to each question, base and adapters."
    yield "first: from the request to the first text; gap: between two texts of a stream; both in ms."
    yield "CPU s: per 1000 delivered tokens. RSS: of the server process alone."
    yield f"x: {OPENAI} divided by this server. Above 1 is good for streams/s, below 1 for first p50 and server CPU."
    yield from (f"{arm}: {what}." for arm, what in WHAT.items())


def _row(samples: Sequence[Sample], case: str, clients: int, arm: str) -> Sequence[str]:
    figures = figures_of(samples, case, clients, arm)
    _, arms = loads_of(samples, case)
    ours = figures_of(samples, case, clients, OPENAI if OPENAI in arms else arm)
    low, high = figures.streams_range
    return (
        arm,
        str(clients),
        f"{figures.streams_per_s:.2f}",
        f"{low:.2f}-{high:.2f}",
        f"{figures.tokens_per_s:.0f}",
        f"{figures.first_p50_ms:.0f}",
        f"{figures.first_p99_ms:.0f}",
        f"{figures.gap_p99_ms:.1f}",
        f"{figures.server_cpu_s:.3f}",
        f"{figures.engine_cpu_s:.2f}",
        f"{figures.rss_mib:.0f}",
        *_ratios(ours, figures),
    )


def _ratios(ours: Figures, figures: Figures) -> Iterator[str]:
    pairs = (
        (ours.streams_per_s, figures.streams_per_s),
        (ours.first_p50_ms, figures.first_p50_ms),
        (ours.server_cpu_s, figures.server_cpu_s),
    )
    yield from (f"{mine / other:.2f}" if other else "-" for mine, other in pairs)
