"""`outworker weights list | show | pull`: the published forms of the model, and which of them this machine can serve."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.errors import OperatorError, StartupError
from app.program import program
from app.weights import modelscope
from app.weights.fit import best_fit, choose, engine_packages, measure_for, missing
from app.weights.huggingface import pull as pull_from_hugging_face
from app.weights.machine import Machine
from app.weights.source import find_pulled
from app.weights.variants import GB, Catalogue, Variant, load_catalogues, named_variant

COLUMNS = ("variant", "format", "quantization", "engines", "disk GB", "memory GB", "here")
NARROW = ("variant", "disk GB", "memory GB", "here")
NUMBERS = ("disk GB", "memory GB")
WIDE_CHARACTERS = 150  # with all columns whole, and room for what is said of this machine
MORE = "more     {program} weights show VARIANT; {program} weights pull VARIANT"
NO_TERMINAL_WIDTH = 1000  # characters: a line for each variant, whatever reads it


def list_weights(data_dir: Path) -> None:
    """A table of all variants; before it what was measured here, after it which is the best here."""
    catalogues = load_catalogues()
    machine = measure_for(catalogues, data_dir)
    console = Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH, highlight=False)
    columns = COLUMNS if console.width >= WIDE_CHARACTERS else NARROW
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in NUMBERS else "left", no_wrap=name != "here")
    for variant in chain.from_iterable(each.variants for each in catalogues):
        cells = dict(zip(COLUMNS, _row(variant, machine), strict=True))
        table.add_row(*(escape(cells[name]) for name in columns))
    print(*_machine(machine), "", sep="\n")
    console.print(table)
    print("", _best(catalogues, machine), MORE.format(program=program()), sep="\n")


def _best(catalogues: tuple[Catalogue, ...], machine: Machine) -> str:
    try:
        chosen = choose(catalogues, machine, lambda variant: missing(variant, machine.data_dir))
    except StartupError:
        return "best     none fits"
    return f"best     {chosen.variant.id} with {chosen.engine}: {chosen.why}"


def show_weights(name: str, data_dir: Path) -> None:
    """One variant, a field per line: what it is, where it is, how each engine would run it here."""
    catalogues = load_catalogues()
    variant = named_variant(catalogues, name)
    machine, place = measure_for(catalogues, data_dir), find_pulled(variant)
    print(*_fields(variant), sep="\n")
    print(f"pulled       {place or 'no'}")
    for run in variant.engines:
        fit = best_fit(variant, machine, missing(variant, data_dir), engine=run.engine)
        verdict = "fits" if fit.fits else "; ".join(fit.reasons)
        print(f"{run.engine:<12} {run.memory_gb:.2f} GB ({fit.device}): {verdict}")


def pull_weights(name: str, hub: str, data_dir: Path) -> None:
    """Download a variant, and print where it is and how to serve it. Raises OperatorError."""
    catalogues = load_catalogues()
    variant = named_variant(catalogues, name)
    copy = variant.copy(hub.strip().lower())
    to_copy = replace(missing(variant, data_dir), cache_bytes=0)  # the pull itself looks at the disk
    fit = best_fit(variant, measure_for(catalogues, data_dir), to_copy)
    if not fit.fits:
        print(f"note: this machine can't serve it as it is: {'; '.join(fit.reasons)}")
    try:
        place = _pull(variant, copy.hub)
    except KeyboardInterrupt:
        raise OperatorError(
            "interrupted: what arrived is kept, and the next pull goes on from there"
        ) from None
    print(f"{variant.id} is in {place}")
    print(f'serve it with weights = "{variant.id}" and engine = "{fit.run.engine}" in [[models]], or with')
    print(f"{program()} serve --model-format {variant.format} --quantization {variant.quantization}")


def _pull(variant: Variant, hub: str) -> Path:
    copy = variant.copy(hub)
    if hub == "modelscope":
        return modelscope.pull(copy, variant.size_gb, print)
    return pull_from_hugging_face(copy, print)


def _row(variant: Variant, machine: Machine) -> tuple[str, ...]:
    lacking = missing(variant, machine.data_dir)
    fit = best_fit(variant, machine, lacking)
    here = f"fits ({fit.run.engine})" if fit.fits else "; ".join(fit.reasons)
    return (
        variant.id,
        variant.format,
        variant.quantization,
        ", ".join(run.engine for run in variant.engines),
        f"{variant.size_gb:.2f}",
        f"{fit.run.memory_gb:.2f}",
        f"pulled, {here}" if lacking.pulled else here,
    )


def _fields(variant: Variant) -> Iterator[str]:
    yield f"variant      {variant.id}"
    yield f"what         {variant.note}"
    yield f"format       {variant.format}, {variant.quantization}"
    grouping = "" if variant.group_size is None else f", groups of {variant.group_size}"
    order = {True: ", act order", False: ", no act order", None: ""}[variant.act_order]
    yield f"weights      {variant.bits} bits{grouping}{order}"
    yield f"disk         {variant.size_gb:.2f} GB ({'published' if variant.published else 'derived'})"
    if variant.max_ram_gb is not None:
        yield f"its card     at most {variant.max_ram_gb:.2f} GB of memory; below is what our engine demands"
    for copy in variant.hubs:
        yield f"{copy.hub:<12} {copy.repository} at {copy.revision}: {', '.join(copy.files)}"


def _machine(machine: Machine) -> Iterator[str]:
    yield f"memory   {machine.available_bytes / GB:.2f} GB free of {machine.total_bytes / GB:.2f} GB"
    for gpu in machine.gpus:
        yield f"gpu      {gpu.name}: {gpu.free_bytes / GB:.2f} GB free of {gpu.total_bytes / GB:.2f} GB"
    if not machine.gpus:
        yield "gpu      none"
    yield f"disk     {machine.disk_free_bytes / GB:.2f} GB free for {machine.cache}"
    names = engine_packages()
    there = [f"{name} {machine.packages[name]}" for name in names if name in machine.packages]
    yield f"engines  {', '.join(there) or 'none is installed'}"
