"""What our OpenAI dialect should reach beside the other arms of part "engine"."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.arms import BARE, OPENAI, SAME, STOCK
from benchmarks.figures import Sample, figures_of, loads_of
from benchmarks.report import Sheet

RELATIONS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {">=": operator.ge, "<=": operator.le}
)


@dataclass(frozen=True, slots=True)
class Target:
    """Our `figure` divided by that of `against`, at so many clients."""

    what: str
    figure: str
    clients: int
    against: str
    relation: str
    limit: float

    def log_startup(self, samples: Sequence[Sample], case: str) -> tuple[float, bool]:
        """The ratio, and whether that is enough."""
        ours, theirs = (
            float(getattr(figures_of(samples, case, self.clients, arm), self.figure))
            for arm in (OPENAI, self.against)
        )
        ratio = ours / theirs if theirs else float("inf")
        return ratio, RELATIONS[self.relation](ratio, self.limit)


TARGETS = (
    Target("streams/s", "streams_per_s", 64, STOCK, ">=", 1.25),
    Target("streams/s", "streams_per_s", 16, STOCK, ">=", 1.05),
    Target("streams/s", "streams_per_s", 1, STOCK, ">=", 0.9),
    Target("server CPU per token", "server_cpu_s", 64, SAME, "<=", 0.5),
    Target("streams/s", "streams_per_s", 64, SAME, ">=", 1.05),
    Target("first token p50", "first_p50_ms", 1, SAME, "<=", 0.8),
    Target("first token p99", "first_p99_ms", 64, SAME, "<=", 1.0),
    Target("server RSS", "rss_mib", 64, SAME, "<=", 1.0),
    Target("tokens/s", "tokens_per_s", 64, BARE, ">=", 0.92),
)


def targets_sheet(cases: Sequence[str], samples: Sequence[Sample]) -> Sheet:
    """A row per target, a column per kind of load that has its number of clients."""
    return Sheet(
        title=f"{OPENAI}: divided by the other's, at so many clients",
        columns=("figure", "clients", "divided by", "target", *cases),
        rows=[_row(target, cases, samples) for target in TARGETS],
    )


def _row(target: Target, cases: Sequence[str], samples: Sequence[Sample]) -> Sequence[str]:
    cells = [_cell(target, case, samples) for case in cases]
    wanted = f"{target.relation} {target.limit:.2f}"
    return (target.what, str(target.clients), target.against, wanted, *cells)


def _cell(target: Target, case: str, samples: Sequence[Sample]) -> str:
    clients, arms = loads_of(samples, case)
    if target.clients not in clients or not {OPENAI, target.against} <= set(arms):
        return "-"
    ratio, met = target.log_startup(samples, case)
    return f"{ratio:.3f} {'met' if met else 'missed'}"
