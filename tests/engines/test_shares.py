"""app.engines.memory: adapters, KV cache and what is left over, on both kinds of host."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engines.memory import (
    GIB,
    Shares,
    cpu_adapters_bytes,
    cpu_host_shares,
    gpu_host_shares,
    sequence_bytes,
)
from app.errors import StartupError
from app.settings import Model, load_settings
from tests.engines.test_memory import MISTRAL_7B

CONTEXT = 15_000
WEIGHTS_BYTES = 14 * GIB


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(MISTRAL_7B))
    return tmp_path


def model(**changes: Any) -> Model:
    return replace(load_settings(None, None, {}).models[0], **changes)


def on_cpu(weights: Path, free_gib: float, **changes: Any) -> Shares:
    """`free_gib` are left after the weights and 2 GiB for the program."""
    return cpu_host_shares(
        model(**changes),
        weights,
        weights_bytes=WEIGHTS_BYTES,
        max_model_len=CONTEXT,
        available_bytes=int((free_gib + 16) * GIB),
    )


class TestCpuHost:
    @pytest.mark.parametrize("free_gib", [3.2, 4, 10, 30, 70, 150, 500])
    def test_all_of_it_fits(self, weights: Path, free_gib: float) -> None:
        shares = on_cpu(weights, free_gib)
        assert shares.kv_cache_bytes is not None
        assert shares.kv_cache_bytes + cpu_adapters_bytes(weights, shares.adapters_resident) <= free_gib * GIB
        assert shares.kv_cache_bytes >= sequence_bytes(weights, CONTEXT)

    def test_adapters_get_a_quarter_after_one_sequence(self, weights: Path) -> None:
        """(20 - 1.86) / 4 GiB hold 14 of them: 160 MiB for the copy and 160 MiB for the slot."""
        assert on_cpu(weights, 20) == Shares(14, 15 * GIB)

    def test_memory_that_is_short_goes_to_the_kv_cache(self, weights: Path) -> None:
        assert on_cpu(weights, 3.2) == Shares(4, sequence_bytes(weights, CONTEXT))

    def test_too_little_for_both(self, weights: Path) -> None:
        with pytest.raises(StartupError, match=r"the adapters \(1\.25 GiB\).* set max_adapters_resident"):
            on_cpu(weights, 3.0)
        assert on_cpu(weights, 3.0, max_adapters_in_batch=1).adapters_resident == 1
        assert on_cpu(weights, 3.0, adapters=False).kv_cache_bytes == 3 * GIB

    def test_a_set_number_stays_and_is_left_free(self, weights: Path) -> None:
        assert on_cpu(weights, 20, max_adapters_resident=28) == Shares(28, 11 * GIB)
        with pytest.raises(StartupError, match=r"the adapters \(20\.00 GiB\)"):
            on_cpu(weights, 20, max_adapters_resident=64)

    def test_beside_a_set_kv_cache(self, weights: Path) -> None:
        assert on_cpu(weights, 20, kv_cache_gib=10) == Shares(8, 10 * GIB)
        assert on_cpu(weights, 5, kv_cache_gib=10) == Shares(4, 10 * GIB)


class TestGpuHost:
    def test_host_memory_is_for_the_adapters(self, weights: Path) -> None:
        """A quarter of 64 GiB holds 102 of 160 MiB. The weights are elsewhere."""
        assert gpu_host_shares(model(), weights, available_bytes=66 * GIB) == Shares(102, None)

    def test_every_worker_has_its_copy(self, weights: Path) -> None:
        changes = {"vllm": {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}}
        assert gpu_host_shares(model(**changes), weights, available_bytes=66 * GIB) == Shares(12, None)

    def test_what_is_no_size_is_left_to_vllm(self, weights: Path) -> None:
        changes = {"vllm": {"tensor_parallel_size": "four", "pipeline_parallel_size": 0}}
        assert gpu_host_shares(model(**changes), weights, available_bytes=66 * GIB) == Shares(102, None)

    def test_set_by_hand(self, weights: Path) -> None:
        changes = {"max_adapters_resident": 7, "kv_cache_gib": 1.5}
        assert gpu_host_shares(model(**changes), weights, available_bytes=0) == Shares(7, int(1.5 * GIB))
