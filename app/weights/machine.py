"""What this machine has, measured: memory, GPUs, disk, instruction sets, Python packages."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from app.engines.memory import available_bytes

CPU_INFO: Final = Path("/proc/cpuinfo")
FLAG_LINES: Final = ("flags", "Features")
"""How x86 and ARM call the line."""

MIB: Final = 1024**2
NVIDIA_SMI_S: Final = 10.0
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU with its memory in bytes."""

    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes are in bytes. `packages` maps the Python packages that are installed, of those looked for, to versions.

    `cache` is the Hugging Face cache and `disk_free_bytes` what its volume has free, `data_dir` the data directory and
    `data_free_bytes` what that one's has; `one_volume` is whether these are the same bytes.
    """

    total_bytes: int
    available_bytes: int
    gpus: tuple[Gpu, ...]
    cache: Path
    disk_free_bytes: int
    data_dir: Path
    data_free_bytes: int
    one_volume: bool
    architecture: str
    instruction_sets: frozenset[str]
    packages: Mapping[str, str]

    @property
    def first_gpu(self) -> Gpu | None:
        """The GPU that an engine runs on: all take the first that they see."""
        return next(iter(self.gpus), None)


def measure(names: Iterable[str], data_dir: Path, *, gpus: bool = True) -> Machine:
    """Look at the machine now, and among the Python packages for `names`. Without `gpus` none is looked for: that can
    take seconds.
    """
    cache = cache_folder()
    packages = dict(_versions(names))
    return Machine(
        total_bytes=int(psutil.virtual_memory().total),
        available_bytes=available_bytes(),
        gpus=tuple(_gpus(packages.get("torch", ""))) if gpus else (),
        cache=cache,
        disk_free_bytes=free_bytes(cache),
        data_dir=data_dir,
        data_free_bytes=free_bytes(data_dir),
        one_volume=_volume(cache).stat().st_dev == _volume(data_dir).stat().st_dev,
        architecture=platform.machine(),
        instruction_sets=instruction_sets(CPU_INFO),
        packages=packages,
    )


def cache_folder() -> Path:
    """The Hugging Face cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in ~/.cache/huggingface."""
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(explicit)).expanduser()
    base = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(os.path.expandvars(base)).expanduser() / "hub"


def free_bytes(folder: Path) -> int:
    """What the volume has free on which `folder` is, or will be."""
    return shutil.disk_usage(_volume(folder)).free


def _volume(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def instruction_sets(cpu_info: Path) -> frozenset[str]:
    """What the processor can, in Linux's words (avx2, avx512f, asimd); nothing where there is no such file."""
    try:
        lines = cpu_info.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in FLAG_LINES:
            return frozenset(value.split())
    return frozenset()


def parse_nvidia_smi(text: str, visible: str | None = None) -> Iterator[Gpu]:
    """Lines `uuid, name, total, free` in MiB. A line that is none, such as of a GPU without a number, is left out.

    `visible` is CUDA_VISIBLE_DEVICES: places in this list, or begins of a uuid, up to the first that names none.
    """
    lines = [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    for cells in lines if visible is None else _visible(lines, visible):
        if len(cells) == 4 and cells[2].isdecimal() and cells[3].isdecimal():
            yield Gpu(cells[1], int(cells[2]) * MIB, int(cells[3]) * MIB)


def _visible(lines: list[list[str]], visible: str) -> Iterator[list[str]]:
    for word in (word.strip() for word in visible.split(",")):
        if word.isdecimal():
            found = lines[int(word) : int(word) + 1]
        else:
            found = [cells for cells in lines if word and cells[0].startswith(word)]
        if len(found) != 1:
            return
        yield found[0]


def _gpus(torch_version: str) -> list[Gpu]:
    program = shutil.which("nvidia-smi")
    if program is not None:
        query = [program, "--query-gpu=uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
        try:
            said = subprocess.run(  # noqa: S603  the driver's own program, with fixed arguments
                query, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return []
        return list(parse_nvidia_smi(said.stdout, os.environ.get(VISIBLE)))
    # Loading torch takes seconds; its CPU build knows of no GPU.
    return _gpus_of_torch() if torch_version and not torch_version.endswith("+cpu") else []


def _gpus_of_torch() -> list[Gpu]:
    import torch  # noqa: PLC0415  seconds, and only where nothing else can tell

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Gpu(torch.cuda.get_device_name(index), total, free))
    return found


def _versions(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
