"""`--auto`: the best variant that fits the machine, and why it and none before it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from app.errors import StartupError
from app.weights.fit import Fit, all_fits, computes_on, fewest_reasons
from app.weights.machine import Machine
from app.weights.missing import Missing
from app.weights.variants import GB, Catalogue, Device, Variant

CPU: Final[Device] = "cpu"


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
