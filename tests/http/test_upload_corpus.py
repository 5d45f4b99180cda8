"""Every broken adapter of the corpus over HTTP: refused, never visible, and the engine never hears of it."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.adapters.inspection.base_model import TARGET_MODULES
from app.adapters.inspection.config import CONFIG_MAX_BYTES
from app.inference.prompt import PromptBuilder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.settings import Settings
from tests.adapters.corpus import CONFIG_CASES, HEADER_CASES, TENSOR_CASES, Case
from tests.adapters.make import Adapter, good
from tests.http.forms import files_of
from tests.http.uploads import WEIGHTS, RecordingEngine, Uploads, left_in, said, told, uploads_to

pytestmark = pytest.mark.anyio

GROUPS = {"config": CONFIG_CASES, "header": HEADER_CASES, "tensors": TENSOR_CASES}
UPLOADS_AT_ONCE = 6
ORDERS = ((CONFIG_FILE, WEIGHTS_FILE), (WEIGHTS_FILE, CONFIG_FILE))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand syncs would be most of the time, and what they are for is tested elsewhere."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def engine() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture
async def local(
    settings: Settings, prompts: PromptBuilder, tmp_path: Path, engine: RecordingEngine
) -> AsyncIterator[Uploads]:
    async with uploads_to(settings, prompts, tmp_path / "base", engine) as client:
        yield client


@pytest.mark.parametrize("group", GROUPS)
async def test_broken_adapters_never_become_visible(
    group: str, local: Uploads, engine: RecordingEngine
) -> None:
    cases = GROUPS[group]
    at_once = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def one(number: int, case: Case) -> bool:
        async with at_once:
            return await is_refused(local, case, ORDERS[number % 2])

    refused = await asyncio.gather(*(one(number, case) for number, case in enumerate(cases)))
    assert sum(refused) >= len(cases) - 1
    states = [finetune["state"] for finetune in await listed(local)]
    assert set(states) <= {"refused", "unfinished"}
    assert len(states) == len(cases)
    assert engine.leased == []
    assert local.served.stores.adapters.list("local") == []
    assert {path.split("/")[0] for path in left_in(local.served.settings.server.data_dir)} <= {".drafts"}


async def is_refused(local: Uploads, case: Case, order: tuple[str, str]) -> bool:
    """Whether the second asset's answer was the verdict; a file that is too large does not even get in."""
    label, build, phrase = case
    files = files_of(build())
    new = await local.create(re.sub(r"[^A-Za-z0-9]+", "-", f"c-{label}"))
    if len(files[CONFIG_FILE]) > CONFIG_MAX_BYTES:
        assert told(await local.send(new, CONFIG_FILE, files[CONFIG_FILE])) == (413, 3006), label
        assert told(await local.run(new)) == (400, 3039), label
        return False
    first = await local.send(new, order[0], files[order[0]])
    assert (first.status_code, first.json()["result"]["state"]) == (200, "unfinished"), label
    answer = await local.send(new, order[1], files[order[1]])
    assert told(answer) == (400, 3030), (label, answer.text)
    finetune = await local.show(new)
    assert finetune["state"] == "refused", label
    findings = finetune["findings"]
    assert any(phrase.replace("tiny-", WEIGHTS) in found for found in findings), (label, findings)
    assert findings[0] in said(answer), label
    assert findings[0] in finetune["reason"], label
    assert 1 <= len(findings) <= 20, label
    assert all(found.isprintable() and "; " in found for found in findings), label
    for named in (new, finetune["name"]):
        answer = await local.run(named)
        assert told(answer) == (400, 3030), label
        assert findings[0] in said(answer), label
    return True


async def listed(local: Uploads) -> list[dict[str, str]]:
    return list((await local.call("GET", local.path())).json()["result"])


def in_type(dtype: str) -> Callable[[], Adapter]:
    def build() -> Adapter:
        adapter = good()
        adapter.dtypes = dict.fromkeys(adapter.tensors, dtype)
        return adapter

    return build


GOOD: dict[str, Callable[[], Adapter]] = {
    "plain": good,
    "every module": lambda: good(TARGET_MODULES),
    "f16": in_type("F16"),
    "bf16": in_type("BF16"),
    "rslora": lambda: good(use_rslora=True),
    "no model_type": lambda: good(model_type=None),
    "no metadata": lambda: Adapter(good().config, good().tensors, metadata={}),
}


async def test_good_ones_become_ready(local: Uploads, engine: RecordingEngine) -> None:
    ids = []
    for number, (label, build) in enumerate(GOOD.items()):
        new = await local.create(f"g{number}")
        for file_name in ORDERS[number % 2]:
            answer = await local.send(new, file_name, files_of(build())[file_name])
            assert answer.status_code == 200, (label, answer.text)
        assert answer.json()["result"]["state"] == "ready", label
        assert bool(answer.json()["messages"]) == (label == "no model_type"), label
        assert (await local.show(new))["rank"] == 4
        assert (await local.run(new)).status_code == 200, label
        ids.append(new)
    assert engine.leased == ids
