"""`--auto`: the first of the preference that fits, and a reason that names what was better and why not."""

from dataclasses import replace

import pytest

from app.errors import StartupError
from app.weights.fit import Chosen, Missing, choose
from app.weights.machine import Machine
from app.weights.variants import GB, Run, Variant, load_catalogues, named_variant
from tests.weights.machines import CPU_PACKAGES, GPU_PACKAGES, machine

CATALOGUE = load_catalogues()[0]


def chosen(here: Machine) -> Chosen:
    return choose([CATALOGUE], here, absent)


def absent(variant: Variant) -> Missing:
    return Missing(int(variant.size_gb * GB))


def test_a_gpu_with_room_gets_the_original() -> None:
    choice = chosen(machine(gpu_gb=24))
    assert (choice.variant.id, choice.engine) == ("pytorch", "vllm")
    assert choice.why.endswith(
        "vllm needs 19.98 GB of GPU memory, 24.00 GB are free; first choice on such a machine"
    )


@pytest.mark.parametrize(
    ("gpu_gb", "expected"),
    [
        (19.9, "gptq-gptq-8bit--1g-actorder_True"),
        (14.2, "gptq-gptq-8bit--1g-actorder_True"),
        (14.1, "pytorch-8-bit"),
        (13.0, "awq"),
        (10.5, "awq"),
    ],
)
def test_a_smaller_gpu_gets_fewer_bits(gpu_gb: float, expected: str) -> None:
    choice = chosen(machine(gpu_gb=gpu_gb, packages={**GPU_PACKAGES, "bitsandbytes": "1"}))
    assert choice.variant.id == expected
    assert f"not pytorch: needs 19.98 GB of GPU memory, {0.92 * gpu_gb:.2f} GB is its share" in choice.why


def test_a_cpu_gets_what_the_card_recommends() -> None:
    choice = chosen(machine())
    assert (choice.variant.id, choice.engine) == ("gguf-Q5_K_M", "llamacpp")


@pytest.mark.parametrize("expected", ["gguf-Q5_K_S", "gguf-Q4_K_M", "gguf-Q4_K_S", "gguf-Q2_K"])
def test_a_smaller_memory_gets_a_smaller_one(expected: str) -> None:
    assert chosen(machine(memory_gb=needed_gb(expected))).variant.id == expected


def needed_gb(name: str) -> float:
    return named_variant((CATALOGUE,), name).engines[0].memory_gb


def test_a_gpu_with_too_little_memory_leaves_the_cpu() -> None:
    packages = {"vllm": "0.32.0", "xllamacpp": "1"}
    choice = chosen(machine(gpu_gb=4, packages=packages))
    assert (choice.variant.id, choice.engine) == ("gguf-Q5_K_M", "llamacpp")
    needs = f"llamacpp needs {needed_gb('gguf-Q5_K_M'):.2f} GB of memory, 32.00 GB are free"
    assert f"{needs}; not pytorch: needs 19.98 GB of GPU memory" in choice.why


def test_without_llama_cpp_a_cpu_gets_the_original() -> None:
    packages = {name: version for name, version in CPU_PACKAGES.items() if name != "xllamacpp"}
    choice = chosen(machine(packages=packages))
    assert (choice.variant.id, choice.engine) == ("pytorch", "vllm")
    assert "not gguf-Q5_K_M: llamacpp is not installed (and 5 more)" in choice.why


def test_a_pulled_one_needs_no_disk() -> None:
    here = machine(disk_gb=1)
    choice = choose(
        [CATALOGUE], here, lambda variant: Missing() if variant.id == "gguf-Q3_K_L" else absent(variant)
    )
    assert choice.variant.id == "gguf-Q3_K_L"


def test_none_fits() -> None:
    with pytest.raises(StartupError) as caught:
        chosen(machine(memory_gb=5))
    assert str(caught.value) == (
        "--auto: no variant fits this machine: gguf-Q2_K comes nearest: "
        f"needs {needed_gb('gguf-Q2_K'):.2f} GB of memory, 5.00 GB of 10.00 GB are free"
    )


def test_another_file_is_another_models_and_comes_after() -> None:
    tiny = replace(CATALOGUE.variants[0], id="tiny", engines=(Run("vllm", ("cpu",), 1.0),))
    other = replace(
        CATALOGUE, gpu_preference=("tiny",), cpu_preference=("tiny",), variants=(tiny,), size_in_billions=1
    )
    both = [CATALOGUE, other]
    assert choose(both, machine(), absent).variant.id == "gguf-Q5_K_M"
    small = machine(memory_gb=2, packages=CPU_PACKAGES)
    assert choose(both, small, lambda variant: Missing()).variant.id == "tiny"
