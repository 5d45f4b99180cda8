"""What this process may use of a CPU host: cores, memory nodes, libraries. Linux tells; elsewhere only the cores."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.engines.choices import TunedSetting

VARIABLE: Final = "OMP_NUM_THREADS"
ROOT: Final = Path("/")
LIBRARY_FOLDERS: Final = ("usr/local/lib", "usr/lib64", "usr/lib", "usr/lib/*-linux-gnu")
TCMALLOC: Final = ("libtcmalloc_minimal.so.*", "libtcmalloc.so.*")


FEW_CORES: Final = 4
"""Up to so many, all compute. With more, one is left to the server: a thread that waits for a core holds up all."""


@dataclass(frozen=True, slots=True)
class CpuHost:
    """`cores` are physical ones, within the affinity of this process and the quota of its container; `nodes` are
    NUMA nodes. A library is None where it is not installed.
    """

    cores: int
    nodes: int
    openmp: str | None
    tcmalloc: str | None


def read_host(root: Path = ROOT, prefix: Path = Path(sys.prefix)) -> CpuHost:
    """`root` holds /sys and /usr; `prefix` is the Python environment, where intel-openmp puts its library."""
    openmp = prefix / "lib" / "libiomp5.so"
    found = (
        path
        for name in TCMALLOC
        for folder in LIBRARY_FOLDERS
        for path in sorted(root.glob(f"{folder}/{name}"))
    )
    return CpuHost(
        cores=_cores(root / "sys"),
        nodes=max(len(list((root / "sys/devices/system/node").glob("node[0-9]*"))), 1),
        openmp=str(openmp) if openmp.is_file() else None,
        tcmalloc=next((str(path) for path in found), None),
    )


def _cores(sys_folder: Path) -> int:
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
    physical = {_siblings(sys_folder, cpu) for cpu in allowed}
    quota = _quota(sys_folder / "fs/cgroup/cpu.max")
    return len(physical) if quota is None else max(min(len(physical), math.floor(quota)), 1)


def _siblings(sys_folder: Path, cpu: int) -> str:
    """The hardware threads of a logical CPU's core, which they name alike."""
    path = sys_folder / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    try:
        return path.read_text("ascii")
    except OSError:
        return str(cpu)


def _quota(path: Path) -> float | None:
    """Cores' worth of time that the cgroup (version 2) gives, None for no limit."""
    try:
        limit, period = path.read_text("ascii").split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def compute_threads(host: CpuHost) -> int:
    """How many threads compute at once in a process that also schedules and answers."""
    return host.cores if host.cores <= FEW_CORES else host.cores - 1


def chosen_threads(exported: Mapping[str, str] = os.environ) -> tuple[int, TunedSetting]:
    """What the operator exported, else what the cores that this process may use suggest; and that for people."""
    by_hand = exported.get(VARIABLE, "")
    host = read_host()
    set_by_hand = by_hand.isdecimal() and int(by_hand) > 0
    threads = int(by_hand) if set_by_hand else compute_threads(host)
    why = "exported" if set_by_hand else f"of {host.cores} cores"
    return threads, TunedSetting("threads", str(threads), why, f"the environment's {VARIABLE}")
