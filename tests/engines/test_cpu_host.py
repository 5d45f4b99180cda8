"""app.engines.cpu_host: cores and libraries, read from a made-up /sys."""

import os
from pathlib import Path

import pytest

from app.engines.cpu_host import read_host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two memory nodes; eight logical CPUs on four cores."""
    for node in ("node0", "node1", "possible"):
        (tmp_path / "sys/devices/system/node" / node).mkdir(parents=True)
    for cpu in range(8):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def quota(root: Path, text: str) -> None:
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(text)


def test_hardware_threads_of_one_core_count_once(root: Path) -> None:
    host = read_host(root)
    assert (host.cores, host.nodes) == (4, 2)


def test_only_the_cores_that_this_process_may_use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6})
    assert read_host(root).cores == 2


@pytest.mark.parametrize(
    ("text", "cores"),
    [("250000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 4), ("900000 100000\n", 4), ("?", 4)],
)
def test_a_containers_quota(root: Path, text: str, cores: int) -> None:
    quota(root, text)
    assert read_host(root).cores == cores


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    host = read_host(tmp_path, tmp_path)
    assert (host.cores, host.nodes, host.openmp, host.tcmalloc) == (8, 1, None, None)


def test_intels_openmp_where_the_environment_has_it(tmp_path: Path) -> None:
    library = tmp_path / "lib/libiomp5.so"
    library.parent.mkdir()
    library.touch()
    assert read_host(tmp_path, tmp_path).openmp == str(library)


@pytest.mark.parametrize("folder", ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/local/lib"])
def test_tcmalloc_where_systems_have_it(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    for name in ("libtcmalloc.so.4", "libtcmalloc_minimal.so.4", "libtcmalloc_minimal.a"):
        (tmp_path / folder / name).touch()
    assert read_host(tmp_path, tmp_path).tcmalloc == str(tmp_path / folder / "libtcmalloc_minimal.so.4")
