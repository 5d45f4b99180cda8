"""app.model_files.lora: what was checked at an upload and what is served mean the same."""

import json
import random

import pytest

from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.modules import LoraModule, canonical_config, config_bytes
from app.adapters.inspection.safetensors_header import Tensor
from app.model_files.lora import LoraSettings, read_tensor_name, settings_of, tensor_name

KINDS = ("q_proj", "k_proj", "v_proj", "o_proj")
BASE = BaseShape("a base", 64, 128, 4, 2, 16, 3, 100)


def module_of(layer: int, kind: str, rank: int) -> LoraModule:
    name = f"model.layers.{layer}.self_attn.{kind}"
    a = Tensor(tensor_name(name, "A"), "F32", (rank, 64), 0, 0)
    b = Tensor(tensor_name(name, "B"), "F32", (64, rank), 0, 0)
    return LoraModule(name, a, b)


@pytest.mark.parametrize("seed", range(50))
def test_the_stored_configuration_gives_every_module_the_scale_that_was_checked(seed: int) -> None:
    draw = random.Random(seed)
    ranks = {(layer, kind): draw.choice([4, 8, 8, 8, 16]) for layer in range(3) for kind in KINDS}
    modules = [module_of(layer, kind, rank) for (layer, kind), rank in ranks.items()]
    keys = [f"{layer}.self_attn.{kind}" for layer, kind in ranks] + list(KINDS)
    checked = LoraSettings(
        r=8,
        alpha=draw.choice([8, 16.0, 0.5]),
        use_rslora=draw.random() < 0.5,
        targets=None,
        rank_pattern={module.name: module.rank for module in modules},
        alpha_pattern={key: draw.choice([1, 32, 7.25]) for key in draw.sample(keys, draw.randrange(6))},
    )
    stored = settings_of(json.loads(config_bytes(canonical_config(modules, checked, BASE))))
    assert {m.name: stored.scale_of(m.name) for m in modules} == {
        m.name: checked.scale_of(m.name) for m in modules
    }


def test_names_are_read_as_they_are_written() -> None:
    name = tensor_name("model.layers.12.mlp.up_proj", "B")
    assert read_tensor_name(name) == ("model.layers.12.mlp.up_proj", 12, "up_proj", "B")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "model.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.model.layers.0.mlp.up_proj.lora_C.weight",
        "base_model.model.model.layers.x.mlp.up_proj.lora_A.weight",
        "base_model.model.lm_head.lora_A.weight",
        f"{tensor_name('model.layers.0.mlp.up_proj', 'A')}.more",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a tensor of an adapter"):
        read_tensor_name(name)
