import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from app.standin import compact, expand
from app.standin.expand import ensure_expanded, is_whole

FILES = [
    "config.json",
    "expanded.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
]


@pytest.fixture
def weights_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the committed weights are expanded."""
    calls: list[int] = []
    whole = expand._full_weights

    def counted() -> bytes:
        calls.append(1)
        return whole()

    monkeypatch.setattr(expand, "_full_weights", counted)
    return calls


def test_the_folder_holds_the_full_model(standin_folder: Path) -> None:
    small = compact.read()
    rows = small.tensors[compact.EMBEDDING]
    with safe_open(standin_folder / "model.safetensors", framework="pt") as file:
        full = file.get_tensor(compact.EMBEDDING).view(torch.uint16).numpy()
        assert set(file.keys()) == set(small.tensors)
    others = np.setdiff1d(np.arange(32_000), small.kept_ids)
    assert full.shape == (32_000, 256)
    assert (full[small.kept_ids] == rows[:-1]).all()
    assert (full[others] == rows[-1]).all()


def test_transformers_reads_configuration_and_tokenizer(standin_folder: Path) -> None:
    config = AutoConfig.from_pretrained(standin_folder)
    tokenizer = AutoTokenizer.from_pretrained(standin_folder)
    assert (config.model_type, config.vocab_size, config.max_position_embeddings) == (
        "mistral",
        32_000,
        32_768,
    )
    assert config.sliding_window is None
    assert config.rope_parameters["rope_theta"] == 1e6
    assert tokenizer("Hi there").input_ids == [1, 15359, 736]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (1, 2, 0)


def test_the_chat_template_has_mistrals_layout(standin_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(standin_folder)
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Bye"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<s>[INST] Be kind.\n\nHi [/INST] Hello!</s>[INST] Bye [/INST]"


def test_a_whole_folder_is_left_alone(tmp_path: Path, weights_read: list[int]) -> None:
    folder = ensure_expanded(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert ensure_expanded(tmp_path) == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert sorted(before) == FILES
    assert weights_read == [1]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_with_a_damaged_file_is_made_again(tmp_path: Path, name: str) -> None:
    folder = ensure_expanded(tmp_path)
    good = (folder / name).read_bytes()
    (folder / name).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert not is_whole(folder)
    assert (ensure_expanded(tmp_path) / name).read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["standin"]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_without_a_file_is_made_again(tmp_path: Path, name: str) -> None:
    (ensure_expanded(tmp_path) / name).unlink()
    assert is_whole(ensure_expanded(tmp_path))


def test_a_file_in_the_folders_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "standin").write_text("in the way")
    assert is_whole(ensure_expanded(tmp_path))


def test_an_older_version_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ensure_expanded(tmp_path)
    monkeypatch.setattr(expand, "EXPANSION_VERSION", expand.EXPANSION_VERSION + 1)
    assert not is_whole(folder)
    ensure_expanded(tmp_path)
    assert json.loads((folder / "expanded.json").read_text())["version"] == expand.EXPANSION_VERSION


def test_a_failed_expansion_leaves_the_old_folder_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ensure_expanded(tmp_path)
    (folder / "config.json").write_text("{}")

    def disk_full() -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(expand, "_full_weights", disk_full)
    with pytest.raises(OSError, match="No space left"):
        ensure_expanded(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["standin"]
    assert (folder / "config.json").read_text() == "{}"


def test_what_a_killed_expansion_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".standin-x1").mkdir()
    (tmp_path / ".standin-x1" / "config.json").write_text("{")
    ensure_expanded(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["standin"]


def test_several_processes_at_once_all_get_a_whole_folder(tmp_path: Path) -> None:
    code = "import sys, pathlib, app.standin.expand as e; e.ensure_expanded(pathlib.Path(sys.argv[1]))"
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert is_whole(tmp_path / "standin")
    assert [path.name for path in tmp_path.iterdir()] == ["standin"]


def test_expansion_needs_neither_torch_nor_transformers() -> None:
    heavy = "{'torch', 'transformers', 'mistral_common'}"
    code = f"import sys, app.standin.expand; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
