"""How vLLM computes on this CPU host: in which process, with how many threads, with which libraries.

By default vLLM computes in a process of its own, reserves a core for the one that schedules, and that one spins
while it waits. On one memory node both can be one process, which leaves every core to the work and saves the way
between them: benchmarks/README.md has what it brought.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.engines.choices import SET, TunedSetting
from app.engines.cpu_host import CpuHost, compute_threads
from app.engines.vllm.cpu_plugin import SWITCH

IN_PROCESS: Final = "app.engines.vllm.executor.OneProcessExecutor"
"""By name, because vLLM imports it in its core."""

SPIN_MS: Final = "5"
"""How long an idle thread of Intel's OpenMP looks for work before it sleeps; vLLM's own choice (0.32)."""

EXECUTOR: Final = "distributed_executor_backend"
EXPORT: Final = "the environment's {}"
BINDING: Final = EXPORT.format("VLLM_CPU_OMP_THREADS_BIND")


@dataclass(frozen=True, slots=True)
class Tuning:
    """AsyncEngineArgs that [models.vllm] may change, and environment variables that an exported one wins over."""

    arguments: Mapping[str, Any]
    environment: Mapping[str, str]
    choices: tuple[TunedSetting, ...]


def tune(
    host: CpuHost, *, workers: int = 1, executor: str | None = None, exported: Mapping[str, str]
) -> Tuning:
    """`workers` is vLLM's number of worker processes, `executor` what [models.vllm] says of it."""
    in_process = workers == 1 and host.nodes == 1 and executor is None
    environment = {SWITCH: "1", **_preload(host)}
    if in_process:
        environment["OMP_NUM_THREADS"] = str(compute_threads(host))
    threads = _in_process(host, exported) if in_process else _by_vllm(host, workers, executor)
    return Tuning(
        arguments={EXECUTOR: IN_PROCESS} if in_process else {},
        environment=environment,
        choices=(*threads, *_libraries(host, exported)),
    )


def _preload(host: CpuHost) -> dict[str, str]:
    """vLLM adds torch's own OpenMP where Intel's is not there."""
    libraries = [library for library in (host.tcmalloc, host.openmp) if library is not None]
    preload = {"LD_PRELOAD": ":".join(libraries)} if libraries else {}
    return {**preload, "KMP_BLOCKTIME": SPIN_MS} if host.openmp else preload


def _in_process(host: CpuHost, exported: Mapping[str, str]) -> Iterator[TunedSetting]:
    why = "the engine computes where it schedules, so no core is reserved and none spins"
    yield TunedSetting("executor", "in process", why, f"vllm.{EXECUTOR}")
    threads = compute_threads(host)
    why = f"of {host.cores} cores: " + (
        "all, as they are few" if threads == host.cores else "one is for the server"
    )
    yield _exportable("threads", str(threads), why, "OMP_NUM_THREADS", exported)
    why = "one memory node, and threads that the server may push aside"
    yield TunedSetting("thread binding", "none", why, f'vllm.{EXECUTOR} = "mp", {BINDING}')


def _by_vllm(host: CpuHost, workers: int, executor: str | None) -> Iterator[TunedSetting]:
    why = f"{workers} workers" if workers > 1 else f"{host.nodes} memory nodes"
    yield TunedSetting("executor", executor or "mp", SET if executor else why, f"vllm.{EXECUTOR}")
    yield TunedSetting("threads", "vLLM's", "one bound to each core but a reserved one", BINDING)


def _libraries(host: CpuHost, exported: Mapping[str, str]) -> Iterator[TunedSetting]:
    for name, library, otherwise in (
        ("OpenMP", host.openmp, "torch's own: intel-openmp is not installed"),
        ("malloc", host.tcmalloc, "the system's: tcmalloc is not installed"),
    ):
        value, _, why = otherwise.partition(": ")
        if library is not None:
            value, why = Path(library).name, "installed, so it is preloaded"
        yield _exportable(name, value, why, "LD_PRELOAD", exported)


def _exportable(
    name: str, value: str, reason: str, variable: str, exported: Mapping[str, str]
) -> TunedSetting:
    by_hand = EXPORT.format(variable)
    if variable in exported:
        return TunedSetting(name, exported[variable], "exported", by_hand)
    return TunedSetting(name, value, reason, by_hand)
