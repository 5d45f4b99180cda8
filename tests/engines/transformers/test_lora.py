"""app.engines.transformers.lora: adapters of every shape, against peft's own forward pass."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import MistralForCausalLM

from app.adapters.inspection.base_model import read_base
from app.engines.transformers.attention import Segment
from app.engines.transformers.lora import BASE, read_adapter
from app.engines.transformers.model import StepModel, load
from app.engines.transformers.plan import TransformersPlan

from .conftest import stored

TOKENS = [1, 733, 16289, 28793, 1824, 349, 4655, 18205, 28804]
CONFIGS: dict[str, dict[str, Any]] = {
    "attention": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "ranks": {
        "r": 8,
        "lora_alpha": 4,
        "target_modules": ["q_proj", "up_proj", "down_proj"],
        "rank_pattern": {"up_proj": 16},
        "alpha_pattern": {"down_proj": 32},
    },
    "rslora": {"r": 16, "lora_alpha": 16, "use_rslora": True, "target_modules": ["o_proj", "k_proj"]},
    "one layer": {"r": 2, "lora_alpha": 9, "target_modules": ["gate_proj"], "layers_to_transform": [1]},
}


@pytest.fixture(scope="module")
def saved(standin_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random adapters, strong enough to change every logit, as the store would keep them."""
    folder, base = tmp_path_factory.mktemp("random"), read_base(standin_folder)
    for name, config in CONFIGS.items():
        plain = MistralForCausalLM.from_pretrained(standin_folder, dtype=torch.float32)
        model = get_peft_model(plain, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=True, **config))
        generator = torch.Generator().manual_seed(len(name))
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
        model.save_pretrained(folder / f"{name} raw")
        stored(folder / f"{name} raw", folder / name, base)
    return {name: folder / name for name in CONFIGS}


@pytest.fixture
def model(plan: TransformersPlan) -> StepModel:
    return load(plan)


def logits(model: StepModel, names: list[str]) -> torch.Tensor:
    """What follows `TOKENS`, for each of the adapters, in one step."""
    count = len(TOKENS)
    with torch.inference_mode():
        return model.logits(
            [Segment(model.cache(count), 0, count) for _ in names],
            TOKENS * len(names),
            [name for name in names for _ in range(count)],
            [(index + 1) * count - 1 for index in range(len(names))],
        )


def add(model: StepModel, name: str, folder: Path) -> None:
    model.adapters.add(name, *read_adapter(folder, model.dtype, model.device))


def expected(standin_folder: Path, folder: Path | None) -> torch.Tensor:
    model: Any = MistralForCausalLM.from_pretrained(standin_folder, dtype=torch.float32)
    if folder is not None:
        model = PeftModel.from_pretrained(model, str(folder)).eval()
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([TOKENS])).logits[0, -1]
        return found


def test_all_shapes_in_one_step(model: StepModel, saved: dict[str, Path], standin_folder: Path) -> None:
    for index, folder in enumerate(saved.values()):
        add(model, f"adapter_{index}", folder)
    names = [f"adapter_{index}" for index in range(len(saved))]
    found = logits(model, [BASE, *names, BASE])
    for row, of in zip(found, [None, *saved.values(), None], strict=True):
        torch.testing.assert_close(row, expected(standin_folder, of), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[1], found[2], atol=0.5)


def test_what_is_removed_leaves_nothing(model: StepModel, saved: dict[str, Path]) -> None:
    """The first one too, which peft takes for the active one."""
    before = logits(model, [BASE])
    add(model, "a", saved["attention"])
    add(model, "b", saved["ranks"])
    with_b = logits(model, ["b"])
    model.adapters.remove("a")
    model.adapters.remove("never there")
    assert torch.equal(logits(model, ["b"]), with_b)
    model.adapters.remove("b")
    assert torch.equal(logits(model, [BASE]), before)
    add(model, "c", saved["ranks"])
    assert torch.equal(logits(model, ["c"]), with_b)


def test_half_an_adapter_does_not_stay(model: StepModel, saved: dict[str, Path]) -> None:
    """Tensors that don't fit are found while they are put in."""
    before = logits(model, [BASE])
    config, tensors = read_adapter(saved["attention"], model.dtype, model.device)
    wrong = {name: tensor[:1] for name, tensor in tensors.items()}
    with pytest.raises(RuntimeError):
        model.adapters.add("wrong", config, wrong)
    assert torch.equal(logits(model, [BASE]), before)
    add(model, "wrong", saved["attention"])
    assert not torch.equal(logits(model, ["wrong"]), before)


@pytest.mark.parametrize("others", [0, 1])
def test_an_adapter_that_fits_nowhere(model: StepModel, saved: dict[str, Path], others: int) -> None:
    """Found while layers are made for it, of which some may be there already."""
    for index in range(others):
        add(model, f"other_{index}", saved["ranks"])
    before = logits(model, [BASE])
    config, tensors = read_adapter(saved["attention"], model.dtype, model.device)
    config.target_modules = {"q_proj", "v_proj"}
    config.rank_pattern = {"v_proj": -1}
    with pytest.raises(ValueError, match="positive"):
        model.adapters.add("wrong", config, tensors)
    assert torch.equal(logits(model, [BASE]), before)
    add(model, "wrong", saved["attention"])
    assert not torch.equal(logits(model, ["wrong"]), before)
