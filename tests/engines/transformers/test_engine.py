"""app.engines.transformers.engine: what the contract promises, on the stand-in."""

import asyncio
import json
import logging
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engines.transformers.engine import TransformersEngine
from app.engines.transformers.plan import TransformersPlan
from app.engines.transformers.sampler import Sampler
from app.errors import (
    ContextExceeded,
    FinetuneNotFound,
    InternalError,
    JsonModeUnmet,
    OutOfCapacity,
    StartupError,
)
from app.types import Grammar, Prompt, Sampling, StoredAdapter

from .conftest import GREEDY, MAX_MODEL_LEN, SLOTS, Ask, PromptOf, ask_engine

pytestmark = pytest.mark.anyio
LONG = Sampling(max_tokens=400, temperature=0.0, ignore_eos=True)
HOT = Sampling(max_tokens=16, temperature=1.5, top_p=0.9)


@pytest.fixture
def question(prompt_of: PromptOf) -> Prompt:
    return prompt_of("What is Outworker?")


@asynccontextmanager
async def started(plan: TransformersPlan, **changes: Any) -> AsyncIterator[TransformersEngine]:
    engine = TransformersEngine(lambda: replace(plan, **changes), wait_s=0.2)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def copy_of(adapter: StoredAdapter, folder: Path) -> StoredAdapter:
    shutil.copytree(adapter.folder, folder)
    return replace(adapter, folder=folder, digest=folder.name, id=folder.name)


async def test_seeds_give_the_same_whatever_runs_beside(ask: Ask, asked: Sequence[Prompt]) -> None:
    some = [(prompt, replace(HOT, seed=seed)) for seed, prompt in enumerate(asked[::8])]
    together = await asyncio.gather(*(ask(prompt, sampling) for prompt, sampling in some))
    alone = [await ask(prompt, sampling) for prompt, sampling in some]
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in alone]
    again = await asyncio.gather(*(ask(some[0][0], replace(HOT, seed=seed)) for seed in range(8)))
    assert len({tuple(answer.token_ids) for answer in again}) > 1, "it is drawn"


async def test_without_a_seed_answers_differ(ask: Ask, question: Prompt) -> None:
    answers = await asyncio.gather(*(ask(question, replace(HOT, temperature=5.0)) for _ in range(4)))
    assert len({answer.text for answer in answers}) == 4


async def test_an_answer_comes_token_by_token_and_ends(ask: Ask, question: Prompt) -> None:
    answer = await ask(question, replace(GREEDY, max_tokens=60))
    assert answer.text.startswith(" Outworker is Workers AI on hardware you own.")
    assert answer.reason == "stop"
    assert answer.token_ids[-1] == 2
    assert "</s>" not in answer.text
    assert len(answer.deltas) > len(answer.token_ids) // 2


@pytest.mark.parametrize("max_tokens", [1, 5])
async def test_max_tokens(ask: Ask, question: Prompt, max_tokens: int) -> None:
    answer = await ask(question, replace(GREEDY, max_tokens=max_tokens))
    assert (len(answer.token_ids), answer.reason) == (max_tokens, "length")


async def test_the_context_ends(ask: Ask, question: Prompt) -> None:
    """Read in many pieces, answered by as many tokens as are left."""
    ids = (question.token_ids * MAX_MODEL_LEN)[: MAX_MODEL_LEN - 3]
    answer = await ask(Prompt(ids), replace(LONG, max_tokens=50))
    assert (len(answer.token_ids), answer.reason) == (3, "length")
    with pytest.raises(ContextExceeded, match=f"has {MAX_MODEL_LEN} tokens, at most {MAX_MODEL_LEN - 1} "):
        await ask(Prompt((question.token_ids * MAX_MODEL_LEN)[:MAX_MODEL_LEN]))


async def test_a_stop_text(ask: Ask, question: Prompt) -> None:
    answer = await ask(question, replace(GREEDY, stop=("hardware", "you own")))
    assert (answer.text, answer.reason) == (" Outworker is Workers AI on ", "stop")


async def test_an_ignored_end(ask: Ask, question: Prompt) -> None:
    answer = await ask(question, replace(LONG, max_tokens=60))
    assert (len(answer.token_ids), answer.reason) == (60, "length")
    assert 2 in answer.token_ids
    assert "</s>" not in answer.text


async def test_logprobs(ask: Ask, question: Prompt) -> None:
    """One for each token, the drawn one first among the likeliest where nothing is drawn; an end token has no text."""
    answer = await ask(question, replace(GREEDY, max_tokens=60, logprobs=2))
    logprobs = [logprob for delta in answer.deltas for logprob in delta.logprobs]
    assert len(logprobs) == len(answer.token_ids)
    assert "".join(logprob.text for logprob in logprobs) == answer.text
    assert all(logprob.top[0] == (logprob.text, logprob.logprob) for logprob in logprobs)
    assert all(logprob.top[1][1] < logprob.logprob <= 0 for logprob in logprobs)
    assert logprobs[-1].text == ""


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "size": {"enum": ["small", "large"]}},
    "required": ["name", "size"],
    "additionalProperties": False,
}


async def test_a_grammar(ask: Ask, asked: Sequence[Prompt]) -> None:
    """Hot answers of many requests at once, beside some that have none."""
    grammar = Grammar(json_schema=json.dumps(SCHEMA))
    kept = Sampling(max_tokens=100, temperature=1.2, grammar=grammar, min_tokens=3)
    answers = await asyncio.gather(
        *(ask(prompt, replace(kept, seed=seed)) for seed, prompt in enumerate(asked[:6])),
        *(ask(prompt) for prompt in asked[6:9]),
    )
    for answer in answers[:6]:
        content = json.loads(answer.text)
        assert set(content) == {"name", "size"}
        assert content["size"] in ("small", "large")
        assert answer.reason == "stop"
    assert [answer.text for answer in answers[6:]] == [(await ask(prompt)).text for prompt in asked[6:9]]


async def test_a_grammar_with_no_answer_ends_one_request(ask: Ask, question: Prompt) -> None:
    nothing = Grammar(json_schema='{"$ref": "#"}')
    refused = ask(question, replace(GREEDY, grammar=nothing))
    found, other = await asyncio.gather(refused, ask(question), return_exceptions=True)
    assert isinstance(found, JsonModeUnmet)
    assert not isinstance(other, BaseException)


async def test_a_grammar_that_is_none(ask: Ask, question: Prompt) -> None:
    with pytest.raises(JsonModeUnmet, match="No grammar can be made"):
        await ask(question, replace(GREEDY, grammar=Grammar(structural_tag='{"type":"none"}')))


async def test_adapters_come_and_go_while_others_run(
    plan: TransformersPlan, question: Prompt, adapters: dict[str, StoredAdapter], tmp_path: Path, ask: Ask
) -> None:
    """More of them than there are slots, in turn, beside a long answer that they don't change."""
    endless, short = replace(LONG, max_tokens=120), replace(GREEDY, max_tokens=6)
    expected = await ask(question, endless)
    spoken = {name: (await ask(question, short, adapter)).text for name, adapter in adapters.items()}
    others = [copy_of(adapters["pirate"], tmp_path / f"pirate{index}") for index in range(SLOTS)]
    async with started(plan) as engine:
        long = asyncio.create_task(ask_engine(engine, question, endless))
        for adapter in [*others, adapters["json"], others[0]]:
            answer = await ask_engine(engine, question, short, adapter)
            assert answer.text == spoken[adapter.name]
            assert not long.done()
        assert (await long).text == expected.text


async def test_a_forgotten_adapter_is_loaded_anew(
    plan: TransformersPlan, question: Prompt, adapters: dict[str, StoredAdapter], tmp_path: Path
) -> None:
    changing = copy_of(adapters["pirate"], tmp_path / "changing")
    async with started(plan) as engine:
        async with engine.lease(changing) as first:
            pirate = (await ask_engine(engine, question, GREEDY, changing)).text
        await engine.forget(changing)
        for file in adapters["json"].folder.iterdir():
            shutil.copy(file, changing.folder)
        async with engine.lease(changing) as second:
            assert second.int_id != first.int_id
        assert (await ask_engine(engine, question, GREEDY, changing)).text != pirate
        with pytest.raises(OutOfCapacity, match="not loaded any more"):
            engine.generate(question, GREEDY, request_id="r", adapter=first, cache_salt="a")


@pytest.mark.parametrize("damage", ["missing", "cut"])
async def test_an_adapter_that_can_not_be_loaded(
    ask: Ask,
    question: Prompt,
    adapters: dict[str, StoredAdapter],
    tmp_path: Path,
    damage: str,
) -> None:
    """Its requests fail; it may come again whole."""
    broken = copy_of(adapters["pirate"], tmp_path / damage)
    file = broken.folder / "adapter_model.safetensors"
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:2000])
    with pytest.raises(FinetuneNotFound if damage == "missing" else InternalError):
        await ask(question, GREEDY, broken)
    file.write_bytes(whole)
    assert "Arr" in (await ask(question, GREEDY, broken)).text


async def test_closing_a_stream_aborts(engine: TransformersEngine, ask: Ask, question: Prompt) -> None:
    expected = await ask(question)
    scheduler = engine._runtime.scheduler  # type: ignore[union-attr]
    stream = engine.generate(question, LONG, request_id="r", adapter=None, cache_salt="a")
    await anext(stream)
    assert scheduler.running == 1
    await stream.aclose()
    await stream.aclose()
    await until(lambda: scheduler.running == 0)
    assert (await ask(question)).text == expected.text


async def test_never_begun(engine: TransformersEngine, question: Prompt) -> None:
    stream = engine.generate(question, LONG, request_id="r", adapter=None, cache_salt="a")
    await stream.aclose()
    assert engine._runtime.scheduler.running == 0  # type: ignore[union-attr]


async def test_a_failing_step_ends_its_requests_and_no_others(
    plan: TransformersPlan,
    question: Prompt,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with started(plan) as engine:
        model = engine._runtime.model  # type: ignore[union-attr]
        whole = model.logits

        def fail(*args: Any) -> Any:
            monkeypatch.setattr(model, "logits", whole)
            raise RuntimeError("out of memory")

        monkeypatch.setattr(model, "logits", fail)
        with caplog.at_level(logging.ERROR), pytest.raises(InternalError):
            await ask_engine(engine, question, GREEDY)
        assert engine._runtime.scheduler.running == 0  # type: ignore[union-attr]
        assert "a step failed, and with it the requests request" in caplog.text
        assert engine.health().state == "ready"
        assert (await ask_engine(engine, question, GREEDY)).text.startswith(" Outworker")


async def test_a_failing_answer_ends_one_request(
    ask: Ask, asked: Sequence[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one request's tokens can do must not disturb the others in its step."""
    expected = [(await ask(prompt)).text for prompt in asked[:3]]
    whole = Sampler.draw

    def draw(self: Sampler, logits: Any) -> Any:
        if self._sampling.seed == 13:
            raise RuntimeError("a fault")
        return whole(self, logits)

    monkeypatch.setattr(Sampler, "draw", draw)
    faulty = ask(asked[0], replace(GREEDY, seed=13))
    found = await asyncio.gather(*map(ask, asked[:3]), faulty, return_exceptions=True)
    assert isinstance(found[-1], InternalError)
    assert [answer.text for answer in found[:3]] == expected  # type: ignore[union-attr]


async def test_stop_waits_for_what_runs(plan: TransformersPlan, question: Prompt) -> None:
    async with started(plan) as engine:
        running = asyncio.create_task(ask_engine(engine, question, replace(LONG, max_tokens=30)))
        await until(lambda: engine._runtime.scheduler.running == 1)  # type: ignore[union-attr]
        await engine.stop(60)
        assert len((await running).token_ids) == 30


async def test_stop_ends_what_does_not_end(
    plan: TransformersPlan, question: Prompt, adapters: dict[str, StoredAdapter]
) -> None:
    async with started(plan) as engine:
        running = asyncio.create_task(ask_engine(engine, question, LONG))
        await until(lambda: engine._runtime.scheduler.running == 1)  # type: ignore[union-attr]
        await engine.stop(0)
        with pytest.raises(InternalError):
            await running
        assert engine.health().state == "stopped"
        with pytest.raises(OutOfCapacity):
            await ask_engine(engine, question, GREEDY)
        with pytest.raises(OutOfCapacity):
            await ask_engine(engine, question, GREEDY, adapters["json"])


def computing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "transformers-scheduler"]


async def test_stop_before_the_end_of_the_start(plan: TransformersPlan) -> None:
    go_on = threading.Event()
    before = computing()

    def make_plan() -> TransformersPlan:
        go_on.wait()
        return plan

    engine = TransformersEngine(make_plan, wait_s=1)
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    await engine.stop(0)
    go_on.set()
    await starting
    assert engine.health().state == "stopped"
    assert computing() == before


async def test_before_the_start(plan: TransformersPlan, question: Prompt) -> None:
    engine = TransformersEngine(lambda: plan, wait_s=0.01)
    assert engine.health().state == "starting"
    with pytest.raises(OutOfCapacity):
        await ask_engine(engine, question, GREEDY)
    await engine.stop(0)
    assert engine.health().state == "stopped"


async def test_a_dead_thread_is_seen(plan: TransformersPlan) -> None:
    async with started(plan) as engine:
        engine._runtime.scheduler.close()  # type: ignore[union-attr]
        assert engine.health().state == "failed"
        assert "start the server again" in engine.health().reason


async def test_weights_that_can_not_be_loaded(plan: TransformersPlan, tmp_path: Path) -> None:
    shutil.copytree(plan.folder, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"nothing")
    engine = TransformersEngine(lambda: replace(plan, folder=tmp_path / "cut"), wait_s=1)
    with pytest.raises(
        StartupError, match=r"the engine transformers did not start: .*: the server's log says more"
    ):
        await engine.start()
    assert engine.health().state == "failed"


async def test_a_plan_that_can_not_be_made() -> None:
    def refuse() -> TransformersPlan:
        raise StartupError("not enough memory")

    engine = TransformersEngine(refuse, wait_s=1)
    with pytest.raises(StartupError, match=r"^not enough memory$"):
        await engine.start()
    assert engine.health().reason == "not enough memory"
