"""`outworker weights list | show | pull`: the published forms of the model, and which of them this machine can serve."""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.errors import OperatorError
from app.settings import load_settings
from app.weights import modelscope
from app.weights.fits import ENGINE_PACKAGES, best_fit, measure_for
from app.weights.locate import find_pulled
from app.weights.machine import Machine
from app.weights.missing import missing
from app.weights.pull import pull as pull_from_hugging_face
from app.weights.variants import GB, Variant, load_catalogues, named_variant

COLUMNS = ("variant", "format", "quantization", "disk GB", "memory GB", "engines", "here")
NO_TERMINAL_WIDTH = 1000  # characters: a line for each variant, whatever reads it


def list_weights() -> None:
    """A table of all variants, and before it what was measured here."""
    catalogues, data_dir = load_catalogues(), _data_dir()
    machine = measure_for(catalogues, data_dir)
    table = Table(*COLUMNS, box=None, pad_edge=False)
    for column in (3, 4):
        table.columns[column].justify = "right"
    if sys.stdout.isatty():
        _fit_terminals(table)
    for catalogue in catalogues:
        for variant in catalogue.variants:
            table.add_row(*(escape(cell) for cell in _row(variant, machine)))
    print(*_machine(machine), "", sep="\n")
    console = Console(width=None if sys.stdout.isatty() else NO_TERMINAL_WIDTH, highlight=False)
    console.print(table)


def _fit_terminals(table: Table) -> None:
    """Names are to be copied, so they stay whole; what is long and can be broken leaves room to the last column."""
    variant, form, quantization, _, _, engines, _ = table.columns
    variant.no_wrap = form.no_wrap = True
    quantization.overflow, quantization.max_width = "fold", 14
    engines.max_width = len("transformers,")


def show_weights(name: str) -> None:
    """One variant, a field per line: what it is, where it is, how each engine would run it here."""
    catalogues, data_dir = load_catalogues(), _data_dir()
    variant = named_variant(catalogues, name)
    machine, place = measure_for(catalogues, data_dir), find_pulled(variant)
    print(*_fields(variant), sep="\n")
    print(f"pulled       {place or 'no'}")
    for run in variant.engines:
        fit = best_fit(variant, machine, missing(variant, data_dir), engine=run.engine)
        verdict = "fits" if fit.fits else "; ".join(fit.reasons)
        print(f"{run.engine:<12} {run.memory_gb:.2f} GB ({fit.device}): {verdict}")


def pull_weights(name: str, hub: str) -> None:
    """Download a variant, and print where it is and how to serve it. Raises OperatorError."""
    catalogues, data_dir = load_catalogues(), _data_dir()
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
    print(
        f'serve it with weights = "{variant.id}" and engine = "{variant.engines[0].engine}" in [[models]], or with'
    )
    print(f"outworker serve --model-format {variant.format} --quantization {variant.quantization}")


def _data_dir() -> Path:
    """The default settings' own, or the environment's."""
    return load_settings(None, None, os.environ).server.data_dir


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
        f"{variant.size_gb:.2f}",
        f"{fit.run.memory_gb:.2f}",
        ", ".join(run.engine for run in variant.engines),
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
    for copy in variant.hubs:
        yield f"{copy.hub:<12} {copy.repository} at {copy.revision}: {', '.join(copy.files)}"


def _machine(machine: Machine) -> Iterator[str]:
    yield f"memory   {machine.available_bytes / GB:.2f} GB free of {machine.total_bytes / GB:.2f} GB"
    for gpu in machine.gpus:
        yield f"gpu      {gpu.name}: {gpu.free_bytes / GB:.2f} GB free of {gpu.total_bytes / GB:.2f} GB"
    if not machine.gpus:
        yield "gpu      none"
    yield f"disk     {machine.disk_free_bytes / GB:.2f} GB free for {machine.cache}"
    names = [name for sets in ENGINE_PACKAGES.values() for packages in sets for name in packages]
    there = [f"{name} {machine.packages[name]}" for name in names if name in machine.packages]
    yield f"engines  {', '.join(there) or 'none is installed'}"
