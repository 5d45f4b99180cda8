"""app.engines.vllm.cpu_tuning: one process where it can be one, and what was exported stays."""

from dataclasses import replace

import pytest

from app.engines.choices import lines_of
from app.engines.cpu_host import CpuHost
from app.engines.vllm.cpu_plugin import PLATFORM_MODULE, SWITCH, platform
from app.engines.vllm.cpu_tuning import EXECUTOR, IN_PROCESS, tune
from app.engines.vllm.start import VllmPlan, require_platform
from app.errors import StartupError

HOST = CpuHost(cores=2, nodes=1, openmp="/env/lib/libiomp5.so", tcmalloc=None)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 2), (4, 4), (5, 4), (32, 31)])
def test_threads(cores: int, threads: int) -> None:
    tuning = tune(replace(HOST, cores=cores), exported={})
    assert tuning.environment["OMP_NUM_THREADS"] == str(threads)
    assert tuning.arguments == {EXECUTOR: IN_PROCESS}


@pytest.mark.parametrize(
    ("host", "workers", "executor"),
    [(replace(HOST, nodes=2), 1, None), (HOST, 2, None), (HOST, 1, "mp")],
)
def test_vllms_own_way(host: CpuHost, workers: int, executor: str | None) -> None:
    tuning = tune(host, workers=workers, executor=executor, exported={})
    assert tuning.arguments == {}
    assert "OMP_NUM_THREADS" not in tuning.environment
    assert tuning.environment[SWITCH] == "1"


@pytest.mark.parametrize(
    ("openmp", "tcmalloc", "preload"),
    [
        (None, None, None),
        ("/a/libiomp5.so", None, "/a/libiomp5.so"),
        (None, "libtcmalloc.so.4", "libtcmalloc.so.4"),
        ("/a/libiomp5.so", "libtcmalloc.so.4", "libtcmalloc.so.4:/a/libiomp5.so"),
    ],
)
def test_libraries_that_are_installed(openmp: str | None, tcmalloc: str | None, preload: str | None) -> None:
    tuning = tune(replace(HOST, openmp=openmp, tcmalloc=tcmalloc), exported={})
    assert tuning.environment.get("LD_PRELOAD") == preload
    assert ("KMP_BLOCKTIME" in tuning.environment) is (openmp is not None)


def test_every_choice_says_where_to_change_it() -> None:
    names = [choice.name for choice in tune(HOST, exported={}).choices]
    assert names == ["executor", "threads", "thread binding", "OpenMP", "malloc"]
    for choice in tune(HOST, exported={}).choices:
        assert choice.reason
        assert choice.by_hand


def test_what_is_exported_is_shown_as_it_is() -> None:
    choices = tune(HOST, exported={"OMP_NUM_THREADS": "1", "LD_PRELOAD": "/mine.so"}).choices
    shown = list(lines_of(choices))
    assert shown[1].split() == ["threads", "1", "exported", "[the", "environment's", "OMP_NUM_THREADS]"]
    assert all("/mine.so" in line for line in shown[3:])


def test_the_platform_is_for_our_vllm_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert platform() is None
    monkeypatch.setenv(SWITCH, "1")
    assert platform() == "app.engines.vllm.cpu_platform.BatchedLoraCpuPlatform"


def test_a_platform_that_vllm_does_not_find_is_an_error() -> None:
    """An installation from before pyproject.toml named the entry point, or a variable that leaves it out."""
    ours = type("Ours", (), {"__module__": PLATFORM_MODULE})
    require_platform(ours, VllmPlan({}, {SWITCH: "1"}, 1))
    require_platform(object, VllmPlan({}, {}, 1))
    with pytest.raises(StartupError, match="run `make install`"):
        require_platform(object, VllmPlan({}, {SWITCH: "1"}, 1))
