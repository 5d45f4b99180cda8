"""app.engines.transformers.plan and sizes: what a machine gets, and what it is told when it has too little."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.engines import memory
from app.engines.deployment import Deployment, LoadQuantization
from app.engines.memory import GIB
from app.engines.transformers import plan as planning
from app.engines.transformers.plan import TransformersPlan, resident_bytes
from app.errors import StartupError
from app.settings import Model, Settings

MISTRAL_7B = {
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
}


@pytest.fixture
def model(settings: Settings) -> Model:
    return replace(settings.models[0], engine="vllm", adapters=True)


@pytest.fixture
def weights(standin_folder: Path, tmp_path: Path) -> Path:
    """A copy whose configuration a test may change."""
    return Path(shutil.copytree(standin_folder, tmp_path / "weights"))


def configure(weights: Path, **values: Any) -> None:
    path = weights / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    monkeypatch.setattr(planning, "available_bytes", lambda: int(gib * GIB))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def planned(
    model: Model, weights: Path, max_total_tokens: int, quantization: LoadQuantization = "none"
) -> TransformersPlan:
    return planning.plan(Deployment(model, weights, weights, max_total_tokens, quantization=quantization))


def test_the_stand_in(model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 8)
    plan = planned(model, weights, 2000)
    assert (plan.dtype, plan.quantization, plan.device) == ("bfloat16", "none", "cpu")
    assert plan.kv_tokens >= 2000 * 20
    assert plan.slots >= 1
    assert {choice.name for choice in plan.choices} >= {"threads", "weights", "KV cache", "adapters loaded"}


def test_float32_has_half_the_tokens(model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 8)
    two_bytes = planned(model, weights, 2000)
    configure(weights, torch_dtype="float32")
    four_bytes = planned(model, weights, 2000)
    assert four_bytes.dtype == "float32"
    assert two_bytes.kv_tokens // 2 - 1 <= four_bytes.kv_tokens <= two_bytes.kv_tokens // 2


def test_float32_that_does_not_fit(model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 8)
    configure(weights, dtype="float32")
    kv_cache = memory.sequence_bytes(weights, 30_000) / GIB
    with pytest.raises(
        StartupError, match="not enough memory: a KV cache in float32 for one sequence of 30000"
    ):
        planned(replace(model, kv_cache_gib=kv_cache), weights, 30_000)


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_the_checkpoint_says_what_it_is(
    method: str, model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 8)
    configure(weights, quantization_config={"quant_method": method, "bits": 4}, torch_dtype="float16")
    plan = planned(model, weights, 2000)
    assert (plan.quantization, plan.dtype) == (method, "float16")
    with pytest.raises(StartupError, match=f'quantized already \\({method}\\): set quantization to "none"'):
        planned(model, weights, 2000, quantization="4-bit")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"quantization_config": {"quant_method": "exl2"}}, "quant_method 'exl2' is not one that"),
        ({"quantization_config": []}, "quant_method None is not one that"),
        ({"torch_dtype": "int3"}, "dtype must be one of bfloat16, float16, float32, found 'int3'"),
    ],
)
def test_what_is_refused(
    values: dict[str, Any], says: str, model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 8)
    configure(weights, **values)
    with pytest.raises(StartupError, match=says):
        planned(model, weights, 2000)


@pytest.mark.parametrize("quantization", ["none", "8-bit", "4-bit", "gptq"])
def test_the_size_of_the_real_model(tmp_path: Path, quantization: str) -> None:
    """7.24 billion values, of which 262 million are never quantized; GPTQ is unpacked."""
    (tmp_path / "config.json").write_text(json.dumps(MISTRAL_7B))
    gib = {"none": 13.5, "8-bit": 7.05, "4-bit": 3.93, "gptq": 13.5}[quantization]
    assert resident_bytes(tmp_path, quantization, "bfloat16") / GIB == pytest.approx(gib, abs=0.06)


def test_too_little_memory_for_the_real_model(
    model: Model, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(weights, **MISTRAL_7B, head_dim=128, tie_word_embeddings=False)
    free(monkeypatch, 14)
    with pytest.raises(StartupError, match=r"not enough memory: .* left after the weights \(13"):
        planned(model, weights, 2000)
    assert planned(replace(model, adapters=False), weights, 2000, quantization="4-bit")


def test_a_configuration_that_is_none(weights: Path) -> None:
    configure(weights, vocab_size=None)
    with pytest.raises(StartupError, match=r"config.json: not the configuration of a transformer"):
        resident_bytes(weights, "none", "bfloat16")
