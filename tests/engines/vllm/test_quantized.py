"""app.engines.vllm.plan: checkpoints that vLLM can't compute are refused in a line before it starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from app.engines.deployment import Deployment
from app.engines.vllm.plan import check_quantized, plan
from app.errors import StartupError
from app.settings import load_settings
from tests.engines.packing import configure

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}


@pytest.fixture
def folder(standin_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(standin_folder, tmp_path / "weights"))


REFUSED = [
    ({**GPTQ, "bits": 8}, True, "computes GPTQ weights of 8 bits on a GPU only, on a CPU those of 4"),
    ({**GPTQ, "desc_act": True}, True, "does not load GPTQ weights with act order and groups (here of 128)"),
    ({**GPTQ, "desc_act": True}, False, "does not load GPTQ weights with act order and groups (here of 128)"),
    ({**GPTQ, "bits": 3}, False, "loads GPTQ weights of 4 or 8 bits, found 3"),
    ({**GPTQ, "bits": 2}, False, "loads GPTQ weights of 4 or 8 bits, found 2"),
    ({**GPTQ, "sym": False}, False, 'loads symmetric GPTQ weights only ("sym": true), found False'),
    ({**GPTQ, "group_size": 16}, False, "loads GPTQ weights in groups of -1, 32, 64, 128, found 16"),
    ({**AWQ, "bits": 5}, False, "loads AWQ weights of 4 bits, found 5"),
    ({**AWQ, "group_size": 16}, True, "loads AWQ weights in groups of -1, 32, 64, 128, found 16"),
]


@pytest.mark.parametrize(("packing", "cpu", "says"), REFUSED)
def test_what_vllm_can_not_compute(folder: Path, packing: dict[str, Any], cpu: bool, says: str) -> None:
    configure(folder, {"quantization_config": packing})
    with pytest.raises(StartupError) as refused:
        check_quantized(folder, cpu=cpu)
    assert str(refused.value).startswith(f"weights: {folder / 'config.json'}: vLLM ")
    assert says in str(refused.value)
    other = packing["bits"] in (3, 5)
    assert str(refused.value).endswith(
        "another checkpoint" if other else '"transformers", which unpacks them'
    )


@pytest.mark.parametrize(
    ("packing", "cpu"),
    [
        (GPTQ, True),
        ({**GPTQ, "group_size": -1, "desc_act": True}, True),
        ({**GPTQ, "bits": 8}, False),
        (AWQ, True),
        ({**AWQ, "group_size": 16}, False),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, True),
        ({"quant_method": "fp8"}, True),
        (None, True),
    ],
)
def test_what_it_can(folder: Path, packing: dict[str, Any] | None, cpu: bool) -> None:
    configure(folder, {"quantization_config": packing})
    check_quantized(folder, cpu=cpu)


def test_a_plan_is_not_made_of_it(folder: Path) -> None:
    model = load_settings(None, None, {}).models[0]
    configure(folder, {"quantization_config": {**GPTQ, "bits": 8}})
    with pytest.raises(StartupError, match="on a GPU only"):
        plan(Deployment(model, folder, folder, 32_768))
