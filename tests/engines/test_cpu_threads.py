"""Threads of engines that compute in this process."""

import pytest

from app.engines import cpu_host
from app.engines.cpu_host import CpuHost, chosen_threads


@pytest.mark.parametrize(("exported", "expected"), [("3", 3), ("", 7), ("0", 7), ("2,3", 7)])
def test_as_exported_else_a_core_is_left_to_the_server(
    exported: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_host, "read_host", lambda: CpuHost(8, 1, None, None))
    found, choice = chosen_threads({"OMP_NUM_THREADS": exported})
    assert (found, choice.value) == (expected, str(expected))
    assert choice.reason == ("exported" if exported == "3" else "of 8 cores")


def test_nothing_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_host, "read_host", lambda: CpuHost(2, 1, None, None))
    assert chosen_threads({})[0] == 2
