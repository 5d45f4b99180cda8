"""An adapter in upload form that was trained on another base: the shapes of Mistral 7B, one layer."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HIDDEN = 4096
RANK = 8


def save(folder: str) -> None:
    config = {
        "peft_type": "LORA",
        "model_type": "mistral",
        "r": RANK,
        "lora_alpha": 16,
        "target_modules": ["q_proj"],
    }
    (Path(folder) / "adapter_config.json").write_text(json.dumps(config))
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{module}.lora_A.weight": np.zeros((RANK, HIDDEN), np.float32),
        f"{module}.lora_B.weight": np.zeros((HIDDEN, RANK), np.float32),
    }
    save_file(tensors, Path(folder) / "adapter_model.safetensors")
