"""The picture of part "engine": for each kind of load a row of bar charts, the arms side by side."""

from collections.abc import Sequence
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.figures import Sample, figures_of, loads_of

CHARTS = (
    ("streams_per_s", "streams/s", "log"),
    ("first_p50_ms", "first token p50, ms", "log"),
    ("gap_p99_ms", "gap p99, ms", "log"),
    ("server_cpu_s", "server CPU s per 1000 tokens", "linear"),
    ("rss_mib", "server RSS, MiB", "linear"),
)
INCHES_PER_CHART = (3.6, 2.6)
GROUP_WIDTH = 0.85  # of the space between two numbers of clients


def draw(cases: Sequence[str], samples: Sequence[Sample]) -> bytes:
    """An SVG."""
    width, height = INCHES_PER_CHART
    figure = Figure(figsize=(width * len(CHARTS), height * len(cases)), layout="constrained")
    axes = figure.subplots(len(cases), len(CHARTS), squeeze=False)
    for row, case in zip(axes, cases, strict=True):
        for chart, (name, title, scale) in zip(row, CHARTS, strict=True):
            _bars(chart, samples, case, name)
            chart.set_yscale(scale)
            chart.set_title(title, fontsize="small")
        row[0].set_ylabel(case, fontsize="small")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    file = BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def _bars(chart: Axes, samples: Sequence[Sample], case: str, name: str) -> None:
    clients, arms = loads_of(samples, case)
    width = GROUP_WIDTH / len(arms)
    for index, arm in enumerate(arms):
        left = [place + (index - (len(arms) - 1) / 2) * width for place in range(len(clients))]
        heights = [getattr(figures_of(samples, case, number, arm), name) for number in clients]
        chart.bar(left, heights, width, label=arm)
    chart.set_xticks(range(len(clients)), [f"{number} clients" for number in clients], fontsize="small")
