"""Part "engines": the same server with each of its engines, the stand-in in the engine's own form, over HTTP.

All three live at the same time, and those whose turn it is not are stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil

from app.server.assembly import EXAMPLES
from app.settings.values import STAND_IN
from app.weights.source import Weights
from benchmarks import engine
from benchmarks.adapters import adapter_folders
from benchmarks.arms import OPENAI, Arm
from benchmarks.client import LoadClient
from benchmarks.figures import MIB, Sample, figures_of
from benchmarks.processes import descendants
from benchmarks.report import Part
from benchmarks.servers import Site, ours, write_config
from benchmarks.workload import ADAPTERS, Case, Prompts

ENGINES = ("vllm", "transformers", "llamacpp")
ROUNDS: Mapping[int, int] = {1: 4, 8: 2}
CASES = (
    Case("32 in, 64 out, base", 32, 64, (None,), ROUNDS),
    Case("32 in, 64 out, three adapters mixed", 32, 64, ADAPTERS, ROUNDS),
    Case("1024 in, 16 out, base", 1024, 16, (None,), {1: 3, 8: 1}),
)


def run(folder: Path) -> Part:
    """Raises BenchError."""
    site = folder / "engines"
    site.mkdir()
    prompts = Prompts(Weights(STAND_IN, site).folder())
    third = {name: path for name, path in adapter_folders(site).items() if name not in EXAMPLES}
    with ExitStack() as stack:
        client = stack.enter_context(LoadClient.started(site))
        servers = [[_started(name, site, third, client, stack)] for name in ENGINES]
        memory = {arms[0].name: _resident_mib(arms[0].server) for arms in servers}
        stack.enter_context(engine.asleep([arms[0].server for arms in servers]))
        samples = [sample for case in CASES for sample in engine.turns(case, servers, prompts)]
    return Part(
        name="engines",
        title="Our server with each engine, the stand-in",
        columns=("load", "clients", "engine", "streams/s", "x", "tokens/s", "first p50 ms", "gap p99 ms"),
        rows=list(_rows(samples)),
        notes=[
            "x: streams/s divided by vLLM's under the same load. Medians of two turns, in turn and back.",
            "MiB resident when ready, adapters loaded: "
            + ", ".join(f"{name} {mib:.0f}" for name, mib in memory.items()),
        ],
        samples=samples,
    )


def _started(
    name: str, folder: Path, adapters: Mapping[str, Path], client: LoadClient, stack: ExitStack
) -> Arm:
    """OpenAI's dialect, which has `ignore_eos`: every answer is as long as it was asked for. The stand-in brings the
    examples along; `adapters` are pushed.
    """
    own = folder / name
    own.mkdir()
    site = Site(own, adapters, own, write_config(own, STAND_IN, engine=name), client)
    arms = ours(site, stack)()
    return replace(next(arm for arm in arms if arm.name == OPENAI), name=name)


def _resident_mib(server: psutil.Process) -> float:
    return sum(each.memory_info().rss for each in (server, *descendants(server))) / MIB


def _rows(samples: Sequence[Sample]) -> Iterator[Sequence[str]]:
    for case in CASES:
        for clients in case.rounds:
            figures = {name: figures_of(samples, case.name, clients, name) for name in ENGINES}
            for name, each in figures.items():
                yield (
                    case.name,
                    str(clients),
                    name,
                    f"{each.streams_per_s:.2f}",
                    f"{each.streams_per_s / figures[ENGINES[0]].streams_per_s:.2f}",
                    f"{each.tokens_per_s:.0f}",
                    f"{each.first_p50_ms:.0f}",
                    f"{each.gap_p99_ms:.0f}",
                )
