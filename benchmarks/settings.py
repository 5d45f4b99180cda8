"""Part "settings": what each choice for the machine brings, on AsyncLLM without HTTP, one added to the other.

Not in a plain `make bench`: it takes some five minutes and six engines' memory. Each variant is our plan with some of
it undone, by the names that `outworker doctor` gives for doing so by hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import engine
from benchmarks.adapters import adapter_folders
from benchmarks.arms import Arm, over_pipe
from benchmarks.bare import VLLMS_LORA
from benchmarks.client import wait_for_reply
from benchmarks.figures import Sample, figures_of
from benchmarks.report import Part
from benchmarks.servers import bare_child, write_config
from benchmarks.weights import endless_standin
from benchmarks.workload import ADAPTERS, Case, Prompts

ROUNDS: Mapping[int, int] = {1: 6, 16: 2, 64: 2}
BASE = Case("base", 32, 64, (None,), ROUNDS)
MIXED = Case("mixed", 32, 64, ADAPTERS, {1: 3, 16: 2, 64: 1})

OWN_PROCESS = {"distributed_executor_backend": "mp"}
ITS_OPENMP = {"LD_PRELOAD": ""}
ITS_LORA = {VLLMS_LORA: "1"}
NO_RESERVED_CORE = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}


@dataclass(frozen=True, slots=True)
class Variant:
    """`vllm` goes into [models.vllm], `environment` is exported; without `adapters` LoRA is off."""

    name: str
    vllm: Mapping[str, str]
    environment: Mapping[str, str]
    adapters: bool = True


VARIANTS = (
    Variant("vLLM's way: two processes, a core reserved", OWN_PROCESS, {**ITS_LORA, **ITS_OPENMP}),
    Variant("no core reserved", OWN_PROCESS, {**ITS_LORA, **ITS_OPENMP, **NO_RESERVED_CORE}),
    Variant("one process", {}, {**ITS_LORA, **ITS_OPENMP}),
    Variant("and Intel's OpenMP", {}, ITS_LORA),
    Variant("and our LoRA: what is chosen here", {}, {}),
    Variant("adapters = false: compiled", {}, {}, adapters=False),
)


def run(folder: Path, variants: Sequence[Variant] = VARIANTS) -> Part:
    """`folder` is for logs and weights. Raises BenchError."""
    weights = endless_standin(folder)
    prompts = Prompts(weights)
    adapters = adapter_folders(folder)
    with ExitStack() as stack:
        children = []
        for number, variant in enumerate(variants):
            config = write_config(folder, weights, f"variant-{number}.toml", variant.vllm, variant.adapters)
            loaded = adapters if variant.adapters else {}
            log = folder / f"variant-{number}.log"
            children.append(
                stack.enter_context(bare_child(config, weights, loaded, log, variant.environment))
            )
        for child in children:
            wait_for_reply(child)
        arms = [
            [Arm(variant.name, psutil.Process(child.process.pid), over_pipe(child))]
            for variant, child in zip(variants, children, strict=True)
        ]
        stack.enter_context(engine.asleep([several[0].server for several in arms]))
        with_adapters = [several for several, variant in zip(arms, variants, strict=True) if variant.adapters]
        samples = [*engine.turns(BASE, arms, prompts), *engine.turns(MIXED, with_adapters, prompts)]
    return Part(
        name="settings",
        title="AsyncLLM with the stand-in, 32 in and 64 out: tokens/s",
        columns=("settings", "clients", "base", "x", "three adapters", "x", "adapters / base"),
        rows=list(_rows(variants, samples)),
        notes=[
            "Medians of two turns, in turn and back. x: this line divided by the first of as many clients."
        ],
        samples=samples,
    )


def _rows(variants: Sequence[Variant], samples: Sequence[Sample]) -> Iterator[Sequence[str]]:
    for clients in ROUNDS:
        firsts = [_rate(samples, case, clients, variants[0]) for case in (BASE, MIXED)]
        for variant in variants:
            base, mixed = (_rate(samples, case, clients, variant) for case in (BASE, MIXED))
            cells = [
                cell
                for rate, first in zip((base, mixed), firsts, strict=True)
                for cell in _cells(rate, first)
            ]
            share = "-" if base is None or mixed is None else f"{mixed / base:.2f}"
            yield variant.name, str(clients), *cells, share


def _rate(samples: Sequence[Sample], case: Case, clients: int, variant: Variant) -> float | None:
    if variant.adapters or case is BASE:
        return figures_of(samples, case.name, clients, variant.name).tokens_per_s
    return None


def _cells(rate: float | None, first: float | None) -> Iterator[str]:
    yield "-" if rate is None else f"{rate:.0f}"
    yield "-" if rate is None or first is None else f"{rate / first:.2f}"
