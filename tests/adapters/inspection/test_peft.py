"""What peft writes is what people bring: it must pass, and our configuration must mean the same to peft."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import MistralConfig, MistralForCausalLM

from app.adapters.inspection.base_model import read_base
from app.adapters.inspection.inspector import Inspection, inspect_adapter
from app.adapters.inspection.modules import config_bytes

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
IDS = torch.tensor([[1, 5, 9, 33, 60, 2]])


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    MistralForCausalLM(MistralConfig(**SIZES)).save_pretrained(folder)
    return folder


def trained(
    base_folder: Path, folder: Path, dtype: torch.dtype = torch.float32, **options: Any
) -> torch.Tensor:
    """Save an adapter with random A and B; returns its logits for `IDS`."""
    torch.manual_seed(1)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    model = get_peft_model(
        MistralForCausalLM.from_pretrained(base_folder), LoraConfig(**(settings | options))
    )
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:  # as training leaves them, wherever it began
            torch.nn.init.normal_(parameter, std=0.5)
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype)
    model.save_pretrained(folder)
    return logits(model)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(IDS).logits
        return found


def inspected(folder: Path, base_folder: Path) -> Inspection:
    return inspect_adapter(folder, read_base(base_folder))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"target_modules": "all-linear"},
        {"r": 1, "lora_alpha": 32, "lora_dropout": 0.1},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 24}},
        {"rank_pattern": {"model.layers.0.self_attn.q_proj": 7, "q_proj": 3}, "use_rslora": True},
        {"layers_to_transform": [1], "layers_pattern": "layers"},
        {"exclude_modules": ["v_proj"]},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
        {"init_lora_weights": "orthogonal"},
        {"init_lora_weights": "mica"},
        {"task_type": None},
        {"fan_in_fan_out": True},
        {"target_modules": r".*layers\.[01]\.(self_attn\.(q|v)_proj|mlp\.up_proj)"},
        {"rank_pattern": {r"^model\.layers\.0\.self_attn\.q_proj$": 2}, "alpha_pattern": {"q_proj$": 24}},
        {"rank_pattern": {r".*\.[01]\.self_attn\.q_proj": 2}, "use_rslora": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_saved_adapters_pass_and_mean_the_same_under_our_configuration(
    options: dict[str, Any], base_folder: Path, tmp_path: Path
) -> None:
    expected = trained(base_folder, tmp_path, **options)
    inspection = inspected(tmp_path, base_folder)
    assert inspection.findings == ()
    assert inspection.config is not None
    (tmp_path / "adapter_config.json").write_bytes(config_bytes(inspection.config))
    loaded = PeftModel.from_pretrained(MistralForCausalLM.from_pretrained(base_folder), str(tmp_path))
    assert torch.equal(logits(loaded), expected)
    assert not torch.allclose(logits(MistralForCausalLM.from_pretrained(base_folder)), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_passes(dtype: torch.dtype, base_folder: Path, tmp_path: Path) -> None:
    trained(base_folder, tmp_path, dtype)
    assert inspected(tmp_path, base_folder).findings == ()


@pytest.mark.parametrize(
    ("options", "phrase"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "lora_only"}, "bias must be"),
        ({"lora_bias": True}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [3, 5]}, "trainable_token_indices"),
        ({"target_modules": ["q_proj", "lm_head"]}, "the output layer"),
        ({"target_modules": ["embed_tokens"]}, "for the embeddings"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"init_lora_weights": "olora"}, "init_lora_weights"),
        ({"r": 33}, "r is 33"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_what_cannot_be_served_is_refused(
    options: dict[str, Any], phrase: str, base_folder: Path, tmp_path: Path
) -> None:
    trained(base_folder, tmp_path, **options)
    assert any(phrase in finding for finding in inspected(tmp_path, base_folder).findings)
