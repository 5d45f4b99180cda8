import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.adapters.inspection.inspector import inspect_adapter
from tests.adapters.corpus import CASES, RED_HERRING, one_value
from tests.adapters.make import Q_A, Q_B, TINY, Adapter, good, module_tensors


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(CASES) >= 60
    assert len({label for label, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("build", "phrase"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_broken_adapters_are_refused(build: Any, phrase: str, tmp_path: Path) -> None:
    inspection = inspect_adapter(build().write(tmp_path), TINY)
    assert inspection.config is None
    assert any(phrase in finding for finding in inspection.findings), inspection.findings
    for finding in inspection.findings:
        assert finding.isprintable()
        assert "; " in finding  # what is wrong; what to change
        assert str(tmp_path) not in finding


def test_the_good_adapter_of_the_corpus_passes(tmp_path: Path) -> None:
    inspection = inspect_adapter(good().write(tmp_path), TINY)
    assert inspection.findings == ()
    assert inspection.notes == ()
    assert (inspection.rank, inspection.modules) == (4, 4)
    assert inspection.config == {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "inference_mode": True,
        "bias": "none",
        "modules_to_save": None,
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": False,
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {},
        "alpha_pattern": {},
    }


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_every_dtype_passes(dtype: str, tmp_path: Path) -> None:
    adapter = good()
    adapter.dtypes = dict.fromkeys(adapter.tensors, dtype)
    assert inspect_adapter(adapter.write(tmp_path), TINY).findings == ()


@pytest.mark.parametrize(
    "build",
    [
        one_value(Q_B, 5000),
        one_value(Q_B, -5000, "BF16"),
        one_value(Q_B, 2500, use_rslora=True),
        one_value(Q_B, 50, alpha_pattern={"q_proj": 800}),
        one_value(Q_A, 1e4, lora_alpha=1e-9),
    ],
)
def test_values_at_the_limit_pass(build: Any, tmp_path: Path) -> None:
    assert inspect_adapter(build().write(tmp_path), TINY).findings == ()


@pytest.mark.parametrize(
    "config",
    [
        {"use_rslora": True},
        {"lora_alpha": 0.5},
        {"target_modules": "model.layers.0.self_attn.q_proj"},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"base_model_name_or_path": "/etc/passwd"},
        {"lora_dropout": 0.1, "layers_to_transform": [0, 1], "exclude_modules": ".*x.*"},
        {"surprise": None, "another": False, "third": [], "fourth": {}, "fifth": ""},
        {"rank_pattern": {RED_HERRING: 4}},
        {"target_modules": RED_HERRING},
        {"alpha_pattern": {RED_HERRING: 8}},
    ],
)
def test_harmless_configurations_pass(config: dict[str, Any], tmp_path: Path) -> None:
    adapter = good(**config)
    if str(config.get("target_modules")).startswith("model"):
        adapter.tensors = module_tensors(0, "q_proj")
    inspection = inspect_adapter(adapter.write(tmp_path), TINY)
    assert inspection.findings == ()
    assert "passwd" not in json.dumps(inspection.config)
    assert RED_HERRING not in json.dumps(inspection.config)


def test_an_absent_model_type_is_taken_from_the_base_and_said(tmp_path: Path) -> None:
    adapter = good()
    del adapter.config["model_type"]
    inspection = inspect_adapter(adapter.write(tmp_path), TINY)
    assert inspection.findings == ()
    assert inspection.notes == ("adapter_config.json: model_type is absent, mistral is taken from the base",)


def test_targets_without_tensors_are_noted(tmp_path: Path) -> None:
    inspection = inspect_adapter(good(target_modules=["q_proj", "v_proj", "o_proj"]).write(tmp_path), TINY)
    assert inspection.notes == ("adapter_config.json: target_modules names o_proj, no tensor is for it",)
    assert inspection.config is not None
    assert inspection.config["target_modules"] == ["q_proj", "v_proj"]


def test_every_finding_is_collected(tmp_path: Path) -> None:
    adapter = good(use_dora=True, r=99)
    adapter.tensors[Q_A][0, 0] = np.nan
    adapter.tensors[Q_B] = np.zeros((31, 4))
    findings = inspect_adapter(adapter.write(tmp_path), TINY).findings
    for phrase in ("use_dora", "r is 99", "holds NaN", "shape [31, 4] found"):
        assert any(phrase in finding for finding in findings), (phrase, findings)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_missing_files_are_named(name: str, tmp_path: Path) -> None:
    (good().write(tmp_path) / name).unlink()
    (finding,) = inspect_adapter(tmp_path, TINY).findings
    assert finding.startswith(f"{name}: is missing")


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (good().write(tmp_path) / "adapter_config.json").unlink()
    (tmp_path / "adapter_config.json").mkdir()
    assert "not a regular file" in inspect_adapter(tmp_path, TINY).findings[0]


def test_pickled_weights_are_not_opened(tmp_path: Path) -> None:
    (good().write(tmp_path) / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    (finding,) = inspect_adapter(tmp_path, TINY).findings
    assert "pickled weights are never opened" in finding


def test_300_mb_are_refused_before_they_are_read(tmp_path: Path) -> None:
    good().write(tmp_path)
    with (tmp_path / "adapter_model.safetensors").open("r+b") as file:
        file.truncate(300_000_000)  # sparse
    (finding,) = inspect_adapter(tmp_path, TINY).findings
    assert "300000000 bytes, must have fewer than 300000000" in finding


def test_memory_stays_bounded(tmp_path: Path) -> None:
    adapter = good()
    tensor = "t0"
    adapter.tensors[tensor] = np.zeros((24_000_000,), "<f2")
    adapter.dtypes[tensor] = "BF16"
    adapter.write(tmp_path)
    tracemalloc.start()
    try:
        inspect_adapter(tmp_path, TINY)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16_000_000


def test_user_text_is_made_printable(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"use_evil\x1b[31m\n" + "x" * 500: 1}
    adapter = Adapter(good(**keys).config, good().tensors)
    (finding,) = inspect_adapter(adapter.write(tmp_path), TINY).findings
    assert finding.isprintable()
    assert len(finding) < 700
