"""Adapters as other programs write them are served, or refused with a sentence that their user can act on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from peft import LoraConfig
from safetensors.numpy import load_file

from app.adapters.inspection.config import CHECKED_KEYS
from app.adapters.inspection.inspector import inspect_adapter
from app.adapters.inspection.remarks import CHANGING, REMARKS, SILENT_KEYS
from app.adapters.inspection.tensor_names import read_name, unknown_name
from app.adapters.lifecycle import Finetunes
from app.adapters.store import AdapterStore
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE, tensor_name
from tests.adapters.make import TINY, good
from tests.adapters.trainers import TRAINERS, UNSLOTH_TARGETS, renamed

SERVED = [name for name, make in TRAINERS.items() if make().served]
REFUSED = [name for name, make in TRAINERS.items() if not make().served]


@pytest.mark.parametrize("trainer", SERVED)
def test_it_is_served_in_peft_s_names_and_what_is_left_out_is_said(
    trainer: str, store: AdapterStore, tmp_path: Path
) -> None:
    case = TRAINERS[trainer]()
    source = case.adapter.write(tmp_path / "source")
    sent = (source / WEIGHTS_FILE).read_bytes()
    inspection = inspect_adapter(source, TINY)
    assert inspection.findings == ()
    notes = "\n".join(inspection.notes)
    for key in case.notes:
        assert key in notes
    stored = store.add("acme", "one", "@hf/x", "stand-in", source, TINY)
    tensors = load_file(stored.folder / WEIGHTS_FILE)
    assert len(tensors) == len(case.adapter.tensors)
    for name, values in case.adapter.tensors.items():
        read = read_name(name)
        assert read is not None
        assert np.array_equal(tensors[tensor_name(read.module, read.side)], values)
    config = json.loads((stored.folder / CONFIG_FILE).read_bytes())
    assert isinstance(config["target_modules"], list)
    assert UNSLOTH_TARGETS not in json.dumps(config)
    assert (source / WEIGHTS_FILE).read_bytes() == sent


@pytest.mark.parametrize("trainer", REFUSED)
def test_it_is_refused_with_what_to_do(trainer: str, tmp_path: Path) -> None:
    case = TRAINERS[trainer]()
    inspection = inspect_adapter(case.adapter.write(tmp_path), TINY)
    assert inspection.config is None
    assert any(case.says in finding for finding in inspection.findings), inspection.findings


def test_equal_tensors_are_stored_once_whatever_they_were_called(store: AdapterStore, tmp_path: Path) -> None:
    """The digest is of what is stored."""
    changes = (
        lambda name: name.removeprefix("base_model."),
        lambda name: name.replace(".weight", ".default.weight"),
        lambda name: f"module.{name}",
    )
    digests = set()
    for number, change in enumerate(changes):
        source = renamed(good(), change).write(tmp_path / str(number))
        digests.add(store.add("acme", f"n{number}", "@hf/x", "stand-in", source, TINY).digest)
    assert len(digests) == 1


def test_a_draft_of_renamed_tensors_becomes_ready(finetunes: Finetunes, tmp_path: Path) -> None:
    """Its assets have a second name while they are checked: the renaming must not write into them."""
    source = renamed(good(), lambda name: name.removeprefix("base_model.model.")).write(tmp_path / "s")
    draft = finetunes.create("acme", "one", "@hf/x", "stand-in")
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with finetunes.asset_file(0, 0) as asset_file:
            asset_file.write((source / name).read_bytes())
            draft = finetunes.put(draft, name, asset_file)
    adapter, notes = finetunes.finish(draft, TINY)
    assert any("8 tensors are renamed, such as model.layers" in note for note in notes)
    assert set(load_file(adapter.folder / WEIGHTS_FILE)) == set(good().tensors)
    assert {path.name for path in adapter.folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}


FIRST = "layers.0.self_attn.q_proj"
READ = [
    f"{prefix}{FIRST}.lora_A{middle}.weight"
    for prefix in (
        *(
            "",
            "model.",
            "model.model.",
            "base_model.model.",
            "base_model.model.model.",
            "language_model.model.",
        ),
        *("module.base_model.model.model.", "_orig_mod.model.", "base_model.model.model.language_model."),
    )
    for middle in ("", ".default", ".my-adapter", ".1")
]


@pytest.mark.parametrize(
    "name", [*READ, f"model.{FIRST}.lora_A", "model.layers._orig_mod.0.self_attn.q_proj.lora_A"]
)
def test_names_that_differ_in_prefix_and_adapter_are_one(name: str) -> None:
    read = read_name(name)
    assert read is not None
    assert (read.module, read.layer, read.side) == (f"model.{FIRST}", 0, "A")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"vision_tower.{FIRST}.lora_A.weight", "expected base_model.model"),
        (f"model.mtp.{FIRST}.lora_A.weight", "expected base_model.model"),
        (f"model.{FIRST}.lora_A.bias", "bias='none'"),
        (f"model.{FIRST}.lora_A.default.bias", "bias='none'"),
        (f"model.{FIRST}.lora_a", "transpose"),
        (f"model.{FIRST}.lora_a.weight", "torchtune"),
        (f"model.{FIRST}.lora_down.weight", "lora_down is lora_A"),
        ("layers.0.attention.wq.lora_A.weight", "another implementation"),
        ("model.layers.0.self_attn.qkv_proj.lora_A.weight", "fused"),
        ("model.layers.0.mlp.gate_up_proj.lora_B.weight", "fused"),
        ("model.layers.00.self_attn.q_proj.lora_A.weight", "rename it"),
        ("model.layers.0.self_attn.q_proj.lora_C.weight", "expected names such as"),
        (f"model.{FIRST}.weight", "save the adapter alone"),
        (f"model.{FIRST}.base_layer.weight", "save the adapter alone"),
        ("model.norm.weight", "save the adapter alone"),
        ("base_model.model.model.embed_tokens.weight", "without embed_tokens"),
        ("base_model.model.lm_head.modules_to_save.weight", "without embed_tokens"),
        ("base_model.model.score.modules_to_save.weight", "without modules_to_save"),
        ("something", "expected names such as"),
    ],
)
def test_other_names_hear_what_to_do(name: str, says: str) -> None:
    assert read_name(name) is None
    found = unknown_name(name)
    assert found.startswith(name)
    assert says in found


def test_every_key_of_peft_s_configuration_is_known_for_what_it_does() -> None:
    """A newer peft with new keys fails here, so that somebody decides whether they change what is computed."""
    keys = {field.name for field in dataclasses.fields(LoraConfig)}
    known = CHECKED_KEYS | SILENT_KEYS | REMARKS | CHANGING.keys()
    assert keys - known == set()
