"""app.engines.vllm.plan: what vLLM is started with on this machine; every reason is a person's to read and to
overrule.
"""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from vllm.engine.arg_utils import AsyncEngineArgs

from app.catalog.cards import load_cards
from app.engines.deployment import Deployment
from app.engines.memory import sequence_bytes
from app.engines.vllm import plan
from app.engines.vllm.cpu_tuning import EXECUTOR, IN_PROCESS
from app.engines.vllm.plan import MAX_NUM_SEQS
from app.engines.vllm.start import VllmPlan
from app.settings import CHECKOUT, Model, load_settings

CARD = load_cards(CHECKOUT / "schemas")["@hf/mistral/mistral-7b-instruct-v0.2"]


def model(vllm: dict[str, Any] | None = None, **changes: Any) -> Model:
    first = load_settings(None, None, {}).models[0]
    return replace(first, vllm=MappingProxyType(vllm or {}), **changes)


def made(folder: Path, entry: Model, **exported: str) -> VllmPlan:
    limits = CARD.limits.max_total_tokens, CARD.max_batch_prefill_tokens
    return plan.plan(Deployment(entry, folder, folder, *limits), exported)


def reasons(found: VllmPlan) -> dict[str, tuple[str, str]]:
    return {choice.name: (choice.value, choice.reason) for choice in found.choices}


def test_vllm_takes_it(standin_folder: Path) -> None:
    found = made(standin_folder, model())
    AsyncEngineArgs(**found.arguments)
    assert found.arguments[EXECUTOR] == IN_PROCESS
    assert int(found.environment["OMP_NUM_THREADS"]) >= 1
    assert found.slots == found.arguments["max_cpu_loras"]


def test_what_a_person_reads(standin_folder: Path) -> None:
    shown = reasons(made(standin_folder, model()))
    assert list(shown)[-4:] == ["requests in a step", "KV cache", "adapters loaded", "compiled"]
    assert shown["compiled"] == ("no", "vLLM on a CPU does that only without LoRA")
    assert "GiB of memory are free" in shown["KV cache"][1]


def test_without_adapters_it_is_compiled(standin_folder: Path) -> None:
    found = made(standin_folder, model(adapters=False))
    assert found.arguments["enforce_eager"] is False
    assert reasons(found)["compiled"][0] == "yes"
    assert "adapters loaded" not in reasons(found)


def test_a_persons_own_values_win_and_are_named_so(standin_folder: Path) -> None:
    own = model({"max_num_seqs": 3, EXECUTOR: "mp"}, kv_cache_gib=1.5, max_adapters_resident=5)
    found = made(standin_folder, own)
    shown = reasons(found)
    assert (found.arguments["max_num_seqs"], found.arguments[EXECUTOR]) == (3, "mp")
    assert shown["requests in a step"] == ("3", "set by you")
    assert shown["KV cache"] == ("1.5 GiB", "set by you")
    assert shown["adapters loaded"] == ("up to 5", "set by you")
    assert shown["executor"] == ("mp", "set by you")


def test_no_more_requests_than_the_cache_holds(standin_folder: Path) -> None:
    one = sequence_bytes(standin_folder, CARD.limits.max_total_tokens)
    small = made(standin_folder, model(kv_cache_gib=2 * one / 1024**3))
    large = made(standin_folder, model(kv_cache_gib=200 * one / 1024**3))
    assert small.arguments["max_num_seqs"] == 8
    assert large.arguments["max_num_seqs"] == MAX_NUM_SEQS


def test_on_a_gpu_host_vllm_decides(standin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "is_cpu_build", lambda: False)
    found = made(standin_folder, model())
    assert found.arguments[EXECUTOR] == IN_PROCESS  # as by default, without its ports
    assert found.environment == {}
    assert reasons(found)["KV cache"][0] == "vLLM's"
    assert reasons(found)["compiled"][0] == "yes"


@pytest.mark.parametrize("own", [{"tensor_parallel_size": 2}, {EXECUTOR: "mp"}])
def test_on_a_gpu_host_several_workers_are_vllms(
    standin_folder: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, Any]
) -> None:
    monkeypatch.setattr(plan, "is_cpu_build", lambda: False)
    found = made(standin_folder, model(own))
    assert found.arguments.get(EXECUTOR) == own.get(EXECUTOR)


def test_exported_variables_are_not_overridden(standin_folder: Path) -> None:
    found = made(standin_folder, model(), OMP_NUM_THREADS="1")
    assert reasons(found)["threads"] == ("1", "exported")
