"""What is read of this machine: processor flags, nvidia-smi's lines, where the cache is, and its free disk."""

import shutil
from pathlib import Path

import pytest

from app.weights.machine import Gpu, cache_folder, free_bytes, instruction_sets, measure, parse_nvidia_smi

MIB = 1024**2


def test_flags_of_x86_and_arm(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert instruction_sets(file) == {"fpu", "avx2", "fma"}
    file.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert instruction_sets(file) == {"fp", "asimd"}
    file.write_text("nothing of the kind\n")
    assert instruction_sets(file) == frozenset()
    assert instruction_sets(tmp_path / "none") == frozenset()


LINES = """GPU-1a, NVIDIA H200, 143771, 143000
GPU-1b, NVIDIA GB10, [N/A], [N/A]

GPU-2c, NVIDIA L4, 23034, 22500
"""
H200 = Gpu("NVIDIA H200", 143_771 * MIB, 143_000 * MIB)
L4 = Gpu("NVIDIA L4", 23_034 * MIB, 22_500 * MIB)


def test_lines_of_nvidia_smi() -> None:
    assert list(parse_nvidia_smi(LINES)) == [H200, L4]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,2", [H200, L4]),
        (" 2 ", [L4]),
        ("GPU-2", [L4]),
        ("GPU-1", []),
        ("1", []),
        ("", []),
        ("-1,0", []),
        ("2,7,0", [L4]),
        ("NoDevFiles", []),
    ],
)
def test_gpus_that_cuda_does_not_see_are_none(visible: str, expected: list[Gpu]) -> None:
    assert list(parse_nvidia_smi(LINES, visible)) == expected


def test_a_program_that_tells_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "GPU-1, A GPU, 1000, 900"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert measure((), tmp_path).gpus == (Gpu("A GPU", 1000 * MIB, 900 * MIB),)
    assert measure((), tmp_path, gpus=False).gpus == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert measure((), tmp_path).gpus == ()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    assert measure((), tmp_path).gpus == ()
    assert measure((), tmp_path).first_gpu is None


def test_packages_are_looked_for(tmp_path: Path) -> None:
    assert measure(["numpy", "no-such-package"], tmp_path).packages.keys() == {"numpy"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "~/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"HF_HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/h/hub"),
        ({"HF_HUB_CACHE": "/c", "HF_HOME": "/h"}, "/c"),
        ({"HF_HOME": "~/h"}, "~/h/hub"),
    ],
)
def test_where_the_cache_is(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected).expanduser()


def test_free_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    total = shutil.disk_usage(tmp_path).total
    assert 0 < free_bytes(tmp_path / "not" / "yet") <= total
