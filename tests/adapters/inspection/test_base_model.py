import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.adapters.inspection.base_model import BaseShape, base_name, read_base
from app.errors import StartupError
from tests.adapters.make import TINY

MISTRAL_7B = {
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
    "rms_norm_eps": 1e-05,
}


def write(folder: Path, config: Any) -> Path:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def test_the_shape_of_the_published_mistral(tmp_path: Path) -> None:
    base = read_base(write(tmp_path, MISTRAL_7B), "mistral-7b")
    assert base == BaseShape("mistral-7b", 4096, 14336, 32, 8, 128, 32, 32000)
    assert base.module_shape("q_proj") == (4096, 4096)
    assert base.module_shape("k_proj") == (4096, 1024)
    assert base.module_shape("v_proj") == (4096, 1024)
    assert base.module_shape("o_proj") == (4096, 4096)
    assert base.module_shape("gate_proj") == (4096, 14336)
    assert base.module_shape("up_proj") == (4096, 14336)
    assert base.module_shape("down_proj") == (14336, 4096)


def test_heads_need_not_fill_the_hidden_size(tmp_path: Path) -> None:
    base = read_base(write(tmp_path, MISTRAL_7B | {"head_dim": 64}))
    assert base.module_shape("q_proj") == (4096, 2048)
    assert base.module_shape("o_proj") == (2048, 4096)
    assert base.name == tmp_path.name


def test_null_means_the_default(tmp_path: Path) -> None:
    base = read_base(write(tmp_path, MISTRAL_7B | {"head_dim": None, "num_key_value_heads": None}))
    assert (base.head_dim, base.num_key_value_heads) == (128, 32)


@pytest.mark.parametrize(
    ("config", "phrase"),
    [
        ("{", "not valid JSON"),
        ("[]", "JSON object"),
        (MISTRAL_7B | {"model_type": "llama"}, "model_type must be mistral"),
        (MISTRAL_7B | {"hidden_size": 0}, "hidden_size must be a whole number above 0"),
        (MISTRAL_7B | {"hidden_size": True}, "hidden_size must be"),
        (MISTRAL_7B | {"num_hidden_layers": "32"}, "num_hidden_layers must be"),
        (
            {key: MISTRAL_7B[key] for key in MISTRAL_7B if key != "num_key_value_heads"},
            "num_key_value_heads must be",
        ),
        (" " * 1_000_001, "larger than 1000000 bytes"),
    ],
)
def test_broken_configurations_are_one_line(config: Any, phrase: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=phrase) as refused:
        read_base(write(tmp_path, config))
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="No such file"):
        read_base(tmp_path)


@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("stand-in", "stand-in"),
        ("gguf-Q4_K_M", "gguf-Q4_K_M"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistralai/Mistral-7B-Instruct-v0.2"),
        ("/srv/secret/model", ""),
        ("~/secret/model", ""),
        ("./secret", ""),
        ("../secret/model", ""),
        ("secret/models/mine", ""),
        ("secret.gguf", ""),
        ("secret/mine.LLAMAFILE", ""),
        ("C:\\secret", ""),
    ],
)
def test_a_place_on_the_operator_s_disk_is_not_named(weights: str, name: str) -> None:
    assert base_name(weights) == name
    assert replace(TINY, name=base_name(weights)).label == f"this server's base {name}".strip()


def test_a_folder_that_looks_like_a_repository_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert base_name("secret/model") == ""
