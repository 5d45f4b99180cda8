"""Whether an adapter may come near the engine: every rule, every finding."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from app.adapters.base import BaseShape
from app.adapters.canonical import canonical_config
from app.adapters.config import CONFIG_MAX_BYTES, read_config
from app.adapters.fields import ConfigReport
from app.adapters.findings import CONFIG_FILE, WEIGHTS_FILE, finding
from app.adapters.header import Tensor, read_header
from app.adapters.modules import LoraModule, match_modules, settings_faults
from app.adapters.values import value_faults
from app.errors import AdapterRefused


@dataclass(frozen=True, slots=True)
class Inspection:
    """`config` is the canonical configuration, None exactly when there are findings.

    Findings and notes are one line each. `rank` is the largest of any module.
    """

    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    rank: int = 0
    modules: int = 0


def inspect_adapter(folder: Path, base: BaseShape) -> Inspection:
    """Check the two files of an adapter in `folder` against `base`. Nothing else in the folder is opened, and
    nothing that the files name is. Memory stays below 32 MB whatever the files say; call from a thread.

    Raises `OSError` only when a file that is there can't be read.
    """
    absent = missing_files(folder)
    if absent:
        return Inspection(findings=absent)
    with (folder / CONFIG_FILE).open("rb") as config_file:
        report = read_config(config_file.read(CONFIG_MAX_BYTES + 1), base)
    with (folder / WEIGHTS_FILE).open("rb") as weights_file:
        modules, faults = _inspect_weights(weights_file, base, report)
    findings = (*report.findings, *faults)
    if findings or report.settings is None:
        return Inspection(findings, tuple(report.notes), modules=len(modules))
    return Inspection(
        findings=(),
        notes=(*report.notes, *_unused_targets(report.settings.targets, modules)),
        config=canonical_config(modules, report.settings, base),
        rank=max(module.rank for module in modules),
        modules=len(modules),
    )


def missing_files(folder: Path) -> tuple[str, ...]:
    """A finding for each of the two files that isn't there as a regular file."""
    change = "give the folder that peft's save_pretrained wrote"
    if (folder / "adapter_model.bin").exists():
        change = "save with safe_serialization=True: pickled weights are never opened"
    return tuple(
        finding(name, "is missing or not a regular file", change)
        for name in (CONFIG_FILE, WEIGHTS_FILE)
        if not (folder / name).is_file()
    )


def _inspect_weights(
    file: BinaryIO, base: BaseShape, report: ConfigReport
) -> tuple[list[LoraModule], list[str]]:
    try:
        tensors = read_header(file, os.fstat(file.fileno()).st_size)
    except AdapterRefused as error:
        return [], [str(error)]
    modules, faults = match_modules(tensors, base)
    if report.settings is not None:
        faults += settings_faults(modules, report.settings)
    return modules, faults + value_faults(file, modules, report.settings, _outside(tensors, modules))


def _outside(tensors: tuple[Tensor, ...], modules: list[LoraModule]) -> list[Tensor]:
    inside = {tensor.name for module in modules for tensor in (module.a, module.b)}
    return [tensor for tensor in tensors if tensor.name not in inside]


def _unused_targets(targets: tuple[str, ...], modules: list[LoraModule]) -> tuple[str, ...]:
    kinds = {module.kind for module in modules}
    unused = sorted({target.rsplit(".", 1)[-1] for target in targets} - kinds)
    return tuple(f"{CONFIG_FILE}: target_modules names {name}, no tensor is for it" for name in unused)
