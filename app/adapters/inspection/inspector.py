"""Whether an adapter may come near the engine: every rule, every finding."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.config import CONFIG_MAX_BYTES, read_config
from app.adapters.inspection.fields import ConfigReport
from app.adapters.inspection.findings import finding
from app.adapters.inspection.modules import LoraModule, canonical_config, match_modules, settings_faults
from app.adapters.inspection.safetensors_header import Tensor, read_header
from app.adapters.inspection.tensor_values import value_faults
from app.errors import AdapterRefused, printable
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE, LoraSettings


@dataclass(frozen=True, slots=True)
class Inspection:
    """`config` is the canonical configuration, None exactly when there are findings.

    Findings and notes are one line each. `rank` is the largest of any module. `names` has for each tensor the name that
    it is stored with, by the one that it was sent with.
    """

    findings: tuple[str, ...]
    notes: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    rank: int = 0
    modules: int = 0
    names: Mapping[str, str] = field(default_factory=dict)


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
    settings = _settings_for(modules, report.settings)
    names = {sent: stored for module in modules for sent, stored in module.peft_names.items()}
    return Inspection(
        findings=(),
        notes=(*report.notes, *_unused_targets(settings.targets or (), modules), *_renamings(names)),
        config=canonical_config(modules, settings, base),
        rank=max(module.rank for module in modules),
        modules=len(modules),
        names=names,
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
    settings = report.settings and _settings_for(modules, report.settings)
    if settings is not None:
        faults += settings_faults(modules, settings)
    return modules, faults + value_faults(file, modules, settings, _outside(tensors, modules))


def _settings_for(modules: list[LoraModule], settings: LoraSettings) -> LoraSettings:
    return settings.with_ranks({module.name: module.rank for module in modules})


def _renamings(names: Mapping[str, str]) -> tuple[str, ...]:
    changed = [(sent, stored) for sent, stored in names.items() if sent != stored]
    if not changed:
        return ()
    sent, stored = changed[0]
    return (f"{WEIGHTS_FILE}: {len(changed)} tensors are renamed, such as {printable(sent)} to {stored}",)


def _outside(tensors: tuple[Tensor, ...], modules: list[LoraModule]) -> list[Tensor]:
    inside = {tensor.name for module in modules for tensor in (module.a, module.b)}
    return [tensor for tensor in tensors if tensor.name not in inside]


def _unused_targets(targets: tuple[str, ...], modules: list[LoraModule]) -> tuple[str, ...]:
    kinds = {module.kind for module in modules}
    unused = sorted({target.rsplit(".", 1)[-1] for target in targets} - kinds)
    return tuple(f"{CONFIG_FILE}: target_modules names {name}, no tensor is for it" for name in unused)
