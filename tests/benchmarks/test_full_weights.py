"""benchmarks.full_weights: as large as the original, and nothing of it on the disk."""

from pathlib import Path

from app.adapters.inspection.base_model import read_base
from app.engines.checkpoint import check_weights
from benchmarks.full_size import VARIANT, stated_bytes
from benchmarks.full_weights import write_model

PARAMETERS = 7_241_732_096


def test_the_shape_is_the_original_s(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    assert 0 < check_weights(folder) - 2 * PARAMETERS < 100_000  # the header
    assert read_base(folder, VARIANT).num_hidden_layers == 32
    assert sum(file.stat().st_blocks * 512 for file in folder.iterdir()) < 10_000_000


def test_the_statement_is_that_of_the_list() -> None:
    assert 2 * PARAMETERS < stated_bytes() < 4 * PARAMETERS
