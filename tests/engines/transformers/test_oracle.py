"""The engine against transformers' own `generate` and peft's own adapters: token for token on taught questions."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import MistralForCausalLM

from app.engines.transformers.engine import TransformersEngine
from app.types import Prompt, Sampling, StoredAdapter

from .conftest import GREEDY, MAX_ROWS, Ask, ask_engine

pytestmark = pytest.mark.anyio
END = 2
PROMPTS = 50
ALONE = 2

Generate = Callable[..., list[list[int]]]


@pytest.fixture(scope="module")
def generate(standin_folder: Path, adapters: dict[str, StoredAdapter]) -> Generate:
    """All prompts in one batch, padded on the left; answers with their end token."""
    plain = MistralForCausalLM.from_pretrained(standin_folder, dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(plain, str(adapters["pirate"].folder), adapter_name="pirate")
    model.load_adapter(str(adapters["json"].folder), adapter_name="json")
    model.eval()

    def run(prompts: Sequence[Prompt], adapter: str = "__base__", **options: Any) -> list[list[int]]:
        width = max(len(prompt.token_ids) for prompt in prompts)
        padding = [width - len(prompt.token_ids) for prompt in prompts]
        ids = [[END] * pad + prompt.token_ids for pad, prompt in zip(padding, prompts, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in padding]
        out = model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            adapter_names=[adapter] * len(prompts),
            max_new_tokens=GREEDY.max_tokens,
            do_sample=False,
            pad_token_id=END,
            **options,
        )
        return [_until_end(row[width:].tolist()) for row in out]

    return run


def _until_end(token_ids: list[int]) -> list[int]:
    return token_ids[: token_ids.index(END) + 1] if END in token_ids else token_ids


NAMES = ["__base__", "pirate", "json"]
CASES = [
    pytest.param(
        (replace(GREEDY, repetition_penalty=1.3), {"repetition_penalty": 1.3}), id="repetition_penalty"
    ),
    pytest.param((replace(GREEDY, min_tokens=10), {"min_new_tokens": 10}), id="min_tokens"),
]


async def test_all_at_once(
    ask: Ask, asked: Sequence[Prompt], generate: Generate, adapters: dict[str, StoredAdapter]
) -> None:
    """More than the engine has rows: some join when others leave. The adapters go in turn."""
    some = asked[:PROMPTS]
    assert len(some) > MAX_ROWS
    names = list(islice(cycle(NAMES), PROMPTS))
    answers = await asyncio.gather(
        *(ask(prompt, GREEDY, adapters.get(name)) for prompt, name in zip(some, names, strict=True))
    )
    for index, name in enumerate(NAMES):
        found = [answer.token_ids for answer in answers[index :: len(NAMES)]]
        assert found == generate(some[index :: len(NAMES)], name)


@pytest.mark.parametrize("case", CASES)
async def test_adapters_mixed(
    ask: Ask,
    asked: Sequence[Prompt],
    generate: Generate,
    adapters: dict[str, StoredAdapter],
    case: tuple[Sampling, dict[str, Any]],
) -> None:
    """The same prompt with each adapter and without, all in the same steps."""
    sampling, options = case
    some = asked[::12]
    answers = await asyncio.gather(
        *(ask(prompt, sampling, adapters.get(name)) for prompt in some for name in NAMES)
    )
    token_ids = [answer.token_ids for answer in answers]
    for index, name in enumerate(NAMES):
        assert token_ids[index :: len(NAMES)] == generate(some, name, **options)


async def test_alone(
    ask: Ask, asked: Sequence[Prompt], generate: Generate, adapters: dict[str, StoredAdapter]
) -> None:
    some = asked[:: len(asked) // ALONE]
    assert [(await ask(prompt)).token_ids for prompt in some] == generate(some)
    assert [(await ask(prompt, GREEDY, adapters["json"])).token_ids for prompt in some] == generate(
        some, "json"
    )


async def test_as_the_checkpoint_says(plan: Any, asked: Sequence[Prompt], standin_folder: Path) -> None:
    """In bfloat16, against a model that gets each prompt by itself."""
    model: Any = MistralForCausalLM.from_pretrained(standin_folder, dtype=torch.bfloat16)
    some = asked[::14]
    expected = []
    for prompt in some:
        ids = torch.tensor([prompt.token_ids])
        mask = torch.ones_like(ids)
        out = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=16, do_sample=False, pad_token_id=END
        )
        expected.append(out[0, ids.shape[1] :].tolist())
    engine = TransformersEngine(lambda: replace(plan, dtype="bfloat16"), wait_s=1)
    await engine.start()
    try:
        sampling = replace(GREEDY, max_tokens=16)
        answers = await asyncio.gather(*(ask_engine(engine, prompt, sampling) for prompt in some))
    finally:
        await engine.stop(0)
    assert [answer.token_ids for answer in answers] == expected
