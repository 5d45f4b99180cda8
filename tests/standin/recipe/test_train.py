"""The committed weights must be those that the committed recipes make."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from app.standin import compact
from app.standin.recipe import lora, train, voices
from app.standin.shape import CONFIG

MAX_COMPACT_BYTES = 8_000_000
MAX_ADAPTER_BYTES = 1_000_000
ADAPTERS = ["json", "pirate"]
CONFIG_KEYS = {*lora.PLAIN_KEYS, "model_type"}


def test_the_weights_were_made_by_this_recipe() -> None:
    made = compact.fingerprint(train.recipe_files())
    assert compact.read().recipe == made, "the recipe changed: run `make standin`, then `make adapters`"


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_adapter_was_made_by_this_recipe_on_these_weights(name: str) -> None:
    path = voices.ADAPTERS_FOLDER / name / "adapter_model.safetensors"
    made = compact.fingerprint(lora.recipe_files(name))
    assert compact.read_metadata(path)[compact.FINGERPRINT_KEY] == made, "run `make adapters`"


def test_every_recipe_is_known_here() -> None:
    assert [recipe.name for recipe in voices.load_all()] == ADAPTERS


def test_a_changed_recipe_changes_the_fingerprint(tmp_path: Path) -> None:
    recipe = tmp_path / "questions.toml"
    recipe.write_text("one")
    before = compact.fingerprint([recipe])
    recipe.write_text("two")
    assert compact.fingerprint([recipe]) != before


def test_of_a_module_only_what_it_does_counts(tmp_path: Path) -> None:
    module = tmp_path / "train.py"
    made = []
    for content in (
        "STEPS = 1",
        '"""Train."""\n\nimport math\nfrom app import standin\n\nSTEPS = 1\n"""So many."""\n',
        "STEPS = 2",
    ):
        module.write_text(content)
        made.append(compact.fingerprint([module]))
    assert made[0] == made[1] != made[2]


def test_the_compact_file_is_small_and_finite() -> None:
    small = compact.read()
    assert compact.COMPACT_FILE.stat().st_size < MAX_COMPACT_BYTES
    assert small.tensors[compact.EMBEDDING].shape == (len(small.kept_ids) + 1, CONFIG["hidden_size"])
    exponent_bits = 0x7F80
    assert not any(((bits & exponent_bits) == exponent_bits).any() for bits in small.tensors.values())
    assert (np.diff(small.kept_ids) > 0).all()


def test_a_compact_file_reads_back_as_written(tmp_path: Path) -> None:
    small = compact.read()
    copy = tmp_path / "copy.safetensors"
    compact.write(small, copy)
    again = compact.read(copy)  # content, not bytes: safetensors orders the metadata as it likes
    assert compact.read_metadata(copy) == compact.read_metadata(compact.COMPACT_FILE)
    assert (again.recipe, sorted(again.tensors)) == (small.recipe, sorted(small.tensors))
    assert np.array_equal(again.kept_ids, small.kept_ids)
    assert all(np.array_equal(again.tensors[name], small.tensors[name]) for name in small.tensors)


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_in_upload_form(name: str) -> None:
    folder = voices.ADAPTERS_FOLDER / name
    files = sorted(path.name for path in folder.iterdir())
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    assert set(config) == CONFIG_KEYS
    assert (config["model_type"], config["peft_type"], config["r"]) == ("mistral", "LORA", 16)
    assert (folder / "adapter_model.safetensors").stat().st_size < MAX_ADAPTER_BYTES


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_holds_both_matrices_of_every_target(name: str) -> None:
    with safe_open(voices.ADAPTERS_FOLDER / name / "adapter_model.safetensors", framework="pt") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    layers = CONFIG["num_hidden_layers"]
    assert isinstance(layers, int)
    assert len(shapes) == 2 * len(lora.TARGET_MODULES) * layers
    assert shapes["base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"] == [16, 256]
    assert shapes["base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight"] == [128, 16]
