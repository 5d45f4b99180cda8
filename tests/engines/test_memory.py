"""app.engines.memory: sizes for known shapes, and refusals with the numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from app.adapters.inspection.base_model import TARGET_MODULES, read_base
from app.engines.memory import (
    GIB,
    MAX_RESIDENT,
    adapter_bytes,
    adapters_that_fit,
    available_bytes,
    cpu_adapters_bytes,
    kv_cache_bytes,
    sequence_bytes,
    token_bytes,
)
from app.errors import StartupError

MISTRAL_7B = {
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
}
MIB = 1024**2
SMALL = {
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 256,
    "intermediate_size": 512,
    "head_dim": 64,
}


def folder(path: Path, config: object) -> Path:
    (path / "config.json").write_text(json.dumps(config))
    return path


class TestShapes:
    @pytest.mark.parametrize(("config", "expected"), [(MISTRAL_7B, 131_072), (SMALL, 1536)])
    def test_token(self, tmp_path: Path, config: dict[str, int], expected: int) -> None:
        assert token_bytes(folder(tmp_path, config)) == expected

    @pytest.mark.parametrize("absent", [{}, {"num_key_value_heads": None, "head_dim": None}])
    def test_without_grouped_heads(self, tmp_path: Path, absent: dict[str, None]) -> None:
        config = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, **absent}
        assert token_bytes(folder(tmp_path, config)) == 2 * 2 * 4 * 16 * 2

    def test_sequence_is_in_blocks(self, tmp_path: Path) -> None:
        weights = folder(tmp_path, MISTRAL_7B)
        assert sequence_bytes(weights, 15_000) == (118 + 1) * 128 * 131_072
        assert 1.83 <= sequence_bytes(weights, 15_000) / GIB < 1.87
        assert sequence_bytes(weights, 128) == 2 * 128 * 131_072


def chosen(weights: Path, *, free_gib: float, kv_cache_gib: float | None = None) -> int:
    """The size for 15000 tokens when `free_gib` are left after weights and headroom."""
    return kv_cache_bytes(
        weights,
        weights_bytes=GIB // 2,
        adapters_bytes=GIB // 2,
        max_model_len=15_000,
        kv_cache_gib=kv_cache_gib,
        available_bytes=int((free_gib + 3) * GIB),
    )


class TestChoice:
    @pytest.mark.parametrize(("free_gib", "expected_gib"), [(500, 60), (10.9, 10), (2.0, 2)])
    def test_whole_gib_of_what_is_free(self, tmp_path: Path, free_gib: float, expected_gib: int) -> None:
        assert chosen(folder(tmp_path, MISTRAL_7B), free_gib=free_gib) == expected_gib * GIB

    def test_a_small_model_takes_little(self, tmp_path: Path) -> None:
        assert chosen(folder(tmp_path, SMALL), free_gib=500) == GIB

    def test_less_than_a_gib_is_enough_when_one_sequence_fits(self, tmp_path: Path) -> None:
        weights = folder(tmp_path, SMALL)
        assert chosen(weights, free_gib=0.5) == sequence_bytes(weights, 15_000)

    def test_one_sequence_must_fit(self, tmp_path: Path) -> None:
        weights = folder(tmp_path, MISTRAL_7B)
        assert chosen(weights, free_gib=1.9) >= sequence_bytes(weights, 15_000)
        with pytest.raises(StartupError) as caught:
            chosen(weights, free_gib=1.8)
        assert str(caught.value) == (
            "not enough memory: a KV cache for one sequence of 15000 tokens needs 1.86 GiB, "
            "but of 4.80 GiB free only 1.80 GiB are left after the weights (0.50 GiB), the adapters (0.50 GiB) "
            "and 2.00 GiB for the program; end other programs, serve a card with a smaller context or set "
            "max_adapters_resident or max_adapters_in_batch lower"
        )

    def test_less_than_nothing_is_shown_as_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(StartupError, match=r"only 0\.00 GiB are left"):
            chosen(folder(tmp_path, MISTRAL_7B), free_gib=-2)

    def test_set_by_hand(self, tmp_path: Path) -> None:
        weights = folder(tmp_path, MISTRAL_7B)
        assert chosen(weights, free_gib=0, kv_cache_gib=2.5) == 2.5 * GIB
        with pytest.raises(
            StartupError, match=r"^kv_cache_gib is too small: .*15000 tokens needs 1\.86 GiB, found 1\.00"
        ):
            chosen(weights, free_gib=500, kv_cache_gib=1)


class TestAdapters:
    def test_the_largest_adapter_of_mistral_7b(self, tmp_path: Path) -> None:
        """Counted by hand: q, k, v, o, then gate, up, down; inputs + outputs, rank 32, 32 layers, 2 bytes."""
        features = 8192 + 5120 + 5120 + 8192 + 3 * (4096 + 14336)
        assert adapter_bytes(folder(tmp_path, MISTRAL_7B)) == features * 32 * 32 * 2 == 160 * MIB

    def test_the_largest_adapter_of_the_stand_in(self, standin_folder: Path) -> None:
        """By the shapes that adapters are checked against."""
        base = read_base(standin_folder)
        features = sum(sum(base.module_shape(module)) for module in TARGET_MODULES)
        assert adapter_bytes(standin_folder) == features * base.num_hidden_layers * 32 * 2 == 768 * 1024

    @pytest.mark.parametrize(
        ("free_gib", "expected"), [(-5, 4), (0, 4), (5, 4), (6.3, 5), (18.2, 14), (330, 256), (9999, 256)]
    )
    def test_a_quarter_of_what_is_free(self, tmp_path: Path, free_gib: float, expected: int) -> None:
        weights, free_bytes = folder(tmp_path, MISTRAL_7B), int(free_gib * GIB)
        count = adapters_that_fit(weights, at_least=4, free_bytes=free_bytes, copies=2)
        assert count == expected
        if 4 < count < MAX_RESIDENT:
            assert count * 2 * 160 * MIB <= free_bytes / 4 < (count + 1) * 2 * 160 * MIB

    def test_small_adapters_are_many(self, standin_folder: Path) -> None:
        assert adapters_that_fit(standin_folder, at_least=4, free_bytes=2 * GIB, copies=2) == MAX_RESIDENT
        assert adapters_that_fit(standin_folder, at_least=256, free_bytes=0, copies=2) == 256

    def test_what_a_cpu_host_holds(self, tmp_path: Path) -> None:
        """A copy and a slot of each."""
        assert cpu_adapters_bytes(folder(tmp_path, MISTRAL_7B), 14) == 28 * 160 * MIB


class TestBrokenConfig:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(StartupError, match=r"config\.json: the file is missing"):
            token_bytes(tmp_path)

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", '{"num_attention_heads": 0}', '{"num_attention_heads": "x"}']
    )
    @pytest.mark.parametrize("size", [token_bytes, adapter_bytes])
    def test_broken(self, tmp_path: Path, text: str, size: Callable[[Path], int]) -> None:
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(StartupError, match=r"config\.json: (it|not) ") as caught:
            size(tmp_path)
        assert "\n" not in str(caught.value)


class TestAvailable:
    @staticmethod
    def container(path: Path, limit: str, used: int) -> Path:
        (path / "memory.max").write_text(f"{limit}\n")
        (path / "memory.current").write_text(f"{used}\n")
        (path / "memory.stat").write_text("anon 5\nactive_file 300\ninactive_file 200\n")
        return path

    def test_a_containers_limit_counts(self, tmp_path: Path) -> None:
        assert available_bytes(self.container(tmp_path, "10000", 4000)) == 6500

    def test_an_exceeded_limit_is_nothing(self, tmp_path: Path) -> None:
        assert available_bytes(self.container(tmp_path, "10", 4000)) == 0

    def test_without_a_limit_the_machines_memory_counts(self, tmp_path: Path) -> None:
        total = psutil.virtual_memory().total
        for cgroup in (tmp_path / "none", self.container(tmp_path, "max", 4000)):
            assert 0 < available_bytes(cgroup) <= total
            assert available_bytes(cgroup) > 6500
