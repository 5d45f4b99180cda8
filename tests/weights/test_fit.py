"""What fits a machine, and each reason why not, with both numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.weights.fit import Missing, best_fit, computes_on, measure_for, missing
from app.weights.machine import Machine
from app.weights.variants import load_catalogues, named_variant
from tests.weights.machines import CPU_PACKAGES, GPU_PACKAGES, machine

CATALOGUES = load_catalogues()
PULLED = Missing()


def absent(name: str) -> Missing:
    """A variant of which nothing is there yet."""
    return missing(named_variant(CATALOGUES, name), Path("/nowhere"))


def reasons(
    name: str, here: Machine, there: Missing | None = None, *, engine: str | None = None
) -> tuple[str, ...]:
    there = absent(name) if there is None else there
    return best_fit(named_variant(CATALOGUES, name), here, there, engine=engine).reasons


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))


def test_it_fits() -> None:
    fit = best_fit(named_variant(CATALOGUES, "pytorch"), machine(), PULLED)
    assert (fit.fits, fit.run.engine, fit.device) == (True, "vllm", "cpu")
    fit = best_fit(named_variant(CATALOGUES, "pytorch"), machine(gpu_gb=24), PULLED)
    assert (fit.fits, fit.run.engine, fit.device) == (True, "vllm", "gpu")


def test_too_little_memory() -> None:
    needs = named_variant(CATALOGUES, "gguf-Q8_0").engines[0].memory_gb
    assert reasons("gguf-Q8_0", machine(memory_gb=needs)) == ()
    assert reasons("gguf-Q8_0", machine(memory_gb=needs - 0.01)) == (
        f"needs {needs:.2f} GB of memory, {needs - 0.01:.2f} GB of {2 * needs - 0.02:.2f} GB are free",
    )


def test_too_little_gpu_memory() -> None:
    assert reasons("pytorch", machine(gpu_gb=21.8), engine="vllm") == ()
    assert reasons("pytorch", machine(gpu_gb=21.7), engine="vllm") == (
        "needs 19.98 GB of GPU memory, 19.96 GB is its share of 21.70 GB",
    )
    assert reasons("pytorch", machine(gpu_gb=20), engine="transformers") == ()
    assert reasons("pytorch", machine(gpu_gb=20, gpu_used_gb=1), engine="transformers") == (
        "needs 19.97 GB of GPU memory, 19.00 GB are free of 20.00 GB",
    )


def test_a_gpu_in_use() -> None:
    """vLLM starts only where its share is free, whatever it needs."""
    assert reasons("awq", machine(gpu_gb=24, gpu_used_gb=1), engine="vllm") == ()
    assert reasons("awq", machine(gpu_gb=24, gpu_used_gb=2), engine="vllm") == (
        "vllm takes 22.08 GB of the GPU's 24.00 GB, 22.00 GB are free: end what else uses it, or set "
        "gpu_memory_utilization",
    )


def test_transformers_takes_the_gpu_where_there_is_one() -> None:
    small = machine(gpu_gb=4, memory_gb=64)
    assert reasons("pytorch", small, engine="transformers") == (
        "needs 19.97 GB of GPU memory, 4.00 GB are free of 4.00 GB",
    )
    built_for_cpus = machine(gpu_gb=4, memory_gb=64, packages=CPU_PACKAGES)
    assert reasons("pytorch", built_for_cpus, engine="transformers") == ()


def test_the_first_gpu_is_what_counts() -> None:
    """Engines take the first that they see, however much another has free."""
    small, large = machine(gpu_gb=4).gpus, machine(gpu_gb=24).gpus
    assert reasons("awq", replace(machine(gpu_gb=24), gpus=large + small)) == ()
    assert reasons("awq", replace(machine(gpu_gb=24), gpus=small + large), engine="vllm") == (
        "needs 9.65 GB of GPU memory, 3.68 GB is its share of 4.00 GB",
    )


def test_what_is_unpacked_beside_the_gpu() -> None:
    assert reasons("gptq-main", machine(gpu_gb=24, memory_gb=17), engine="transformers") == ()
    assert reasons("gptq-main", machine(gpu_gb=24, memory_gb=16), engine="transformers") == (
        "needs 16.64 GB of memory, 16.00 GB of 32.00 GB are free",
    )
    assert reasons("pytorch", machine(gpu_gb=24, memory_gb=4), engine="transformers") == ()


def test_an_engine_built_for_gpus_without_one() -> None:
    assert reasons("pytorch", machine(packages=GPU_PACKAGES), engine="vllm") == (
        "needs a GPU with 19.98 GB, none is here",
    )


def test_a_cpu_build_beside_a_gpu_computes_on_the_cpu() -> None:
    fit = best_fit(named_variant(CATALOGUES, "awq"), machine(gpu_gb=24, packages=CPU_PACKAGES), PULLED)
    assert (fit.device, fit.fits) == ("cpu", True)


def test_8_bit_gptq_needs_a_gpu_under_vllm() -> None:
    name = "gptq-gptq-8bit--1g-actorder_True"
    build = "vLLM's build for CPUs does not compute it, the one for GPUs does"
    assert reasons(name, machine(), engine="vllm") == (build, "needs a GPU with 13.01 GB, none is here")
    assert reasons(name, machine(gpu_gb=16, packages=CPU_PACKAGES), engine="vllm") == (build,)
    assert reasons(name, machine(gpu_gb=16), engine="vllm") == ()


def test_what_an_engine_refuses() -> None:
    refused = "vLLM 0.32 no longer loads GPTQ with act order and groups"
    assert reasons("gptq-main", machine(gpu_gb=24), engine="vllm") == (refused,)
    fit = best_fit(named_variant(CATALOGUES, "gptq-main"), machine(gpu_gb=24), PULLED)
    assert (fit.fits, fit.run.engine) == (True, "transformers")


def test_too_little_disk_unless_pulled() -> None:
    here = machine(disk_gb=4.36)
    assert reasons("gguf-Q4_K_M", here) == ("needs 4.37 GB of disk, 4.36 GB are free in /cache",)
    assert reasons("gguf-Q4_K_M", here, PULLED) == ()


def test_a_llamafile_takes_its_size_twice() -> None:
    """Its GGUF is copied to the data directory, which is to keep 1 GiB (1.07 GB) free."""
    name = "llamafile-Q4_K_M"
    assert reasons(name, machine(disk_gb=9.82)) == ()
    assert reasons(name, machine(disk_gb=9.81)) == (
        "needs 9.81 GB of disk, for itself and a copy of its GGUF, 9.81 GB are free in /cache",
    )
    assert reasons(name, machine(disk_gb=4.38, data_gb=5.45)) == ()
    assert reasons(name, machine(disk_gb=4.36, data_gb=5.43)) == (
        "needs 4.37 GB of disk, 4.36 GB are free in /cache",
        "needs 5.44 GB of disk for a copy of its GGUF, 5.43 GB are free in /data",
    )
    pulled = replace(absent(name), cache_bytes=0)
    assert reasons(name, machine(disk_gb=5.45), pulled) == ()
    assert reasons(name, machine(disk_gb=5.43), pulled) == (
        "needs 5.44 GB of disk for a copy of its GGUF, 5.43 GB are free in /data",
    )
    assert reasons(name, machine(disk_gb=0), PULLED) == ()


def test_packages_that_are_missing() -> None:
    assert reasons("gguf-Q4_K_M", machine(packages={})) == ("llamacpp is not installed",)
    assert reasons("pytorch-8-bit", machine()) == ("the package bitsandbytes is not installed",)
    assert reasons("pytorch-8-bit", machine(packages={**CPU_PACKAGES, "bitsandbytes": "1"})) == ()


def test_instruction_sets_that_are_missing() -> None:
    here = machine(instruction_sets="avx fma")
    assert reasons("gguf-Q4_K_M", here) == ("llamacpp needs a processor with avx2 and f16c",)
    assert reasons("pytorch", here, engine="vllm") == ("vllm needs a processor with avx2",)
    assert reasons("pytorch", here) == ()  # transformers does not


@pytest.mark.parametrize("gpu_gb", [None, 24])
def test_the_preference_that_counts(gpu_gb: float | None) -> None:
    assert computes_on(machine(gpu_gb=gpu_gb)) == ("cpu" if gpu_gb is None else "gpu")


def test_this_machine_is_measured(tmp_path: Path) -> None:
    here = measure_for(CATALOGUES, tmp_path / "data")
    assert 0 < here.available_bytes <= here.total_bytes
    assert here.packages.keys() <= {*CPU_PACKAGES, *GPU_PACKAGES, "bitsandbytes"}
    assert "transformers" in here.packages
    assert here.one_volume
    assert here.data_free_bytes > 0
