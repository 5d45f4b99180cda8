"""app.engines.vllm.outputs: vLLM's own requests, outputs and detokenizer, batches as its core sends them.

Only the core and its sockets are made up here; tests/live has the real ones.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from app.engines.delta_stream import DeltaStream
from app.engines.vllm import compat
from app.engines.vllm.outputs import VllmOutputs
from app.engines.vllm.sampling_params import to_vllm
from app.errors import InternalError, JsonModeUnmet
from app.types import Delta, Grammar, Sampling

vllm_engine: Any = import_module("vllm.v1.engine")
pytestmark = pytest.mark.anyio

FINISHED = vllm_engine.FinishReason


class Core:
    """Takes requests, gives the batches that a test puts."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[str] = []
        self.aborted: list[str] = []

    async def get_output_async(self) -> Any:
        batch = await self.batches.get()
        if isinstance(batch, Exception):
            raise batch
        return batch

    async def add_request_async(self, request: Any) -> None:
        self.asked.append(request.request_id)

    async def abort_requests_async(self, ids: list[str]) -> None:
        self.aborted += ids


class InputProcessor:
    """Makes vLLM's request without its configuration."""

    def process_inputs(self, request_id: str, inputs: Any, params: Any, **more: Any) -> Any:
        return vllm_engine.EngineCoreRequest(
            request_id=request_id,
            prompt_token_ids=inputs["prompt_token_ids"],
            mm_features=None,
            sampling_params=params,
            pooling_params=None,
            arrival_time=0.0,
            lora_request=more["lora_request"],
            cache_salt=inputs["cache_salt"],
            data_parallel_rank=None,
        )

    def assign_request_id(self, request: Any) -> None:
        request.request_id = f"internal-{request.request_id}"


class Bench:
    """One VllmOutputs and what its core saw."""

    def __init__(self, tokenizer: Any, interval: int, ends: object = 2) -> None:
        """`ends` is `eos_token_id` of the weights' generation configuration."""
        self.core = Core()
        self.tokenizer = tokenizer
        self.deaths = 0
        llm = SimpleNamespace(
            vllm_config=SimpleNamespace(scheduler_config=SimpleNamespace(stream_interval=interval)),
            get_tokenizer=lambda: tokenizer,
            model_config=SimpleNamespace(try_get_generation_config=lambda: {"eos_token_id": ends}),
            input_processor=InputProcessor(),
            engine_core=self.core,
            errored=False,
        )
        self.llm = llm
        self.outputs = VllmOutputs(compat, llm, ("generate",), self._died)

    def _died(self) -> None:
        self.deaths += 1

    def stream(self, name: str = "a", **sampling: Any) -> DeltaStream:
        params = compat.SamplingParams(**to_vllm(Sampling(max_tokens=64, **sampling)))
        prompt = self.tokenizer.encode("Hello")
        return self.outputs.stream(prompt, params, request_id=name, cache_salt="local", lora_request=None)

    def constrained(self) -> DeltaStream:
        params = compat.SamplingParams(
            **to_vllm(Sampling(max_tokens=9, grammar=Grammar("{}"))),
            structured_outputs=compat.StructuredOutputsParams(structural_tag="{}"),
        )
        return self.outputs.stream([1], params, request_id="a", cache_salt="local", lora_request=None)

    def put(self, *outputs: Any) -> None:
        self.core.batches.put_nowait(vllm_engine.EngineCoreOutputs(outputs=list(outputs)))

    def tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


@asynccontextmanager
async def bench(tokenizer: Any, interval: int = 1) -> AsyncIterator[Bench]:
    made = Bench(tokenizer, interval)
    yield made
    made.outputs.close()


@pytest.fixture(scope="module")
def tokenizer(standin_folder: Path) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_file=str(standin_folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )


def output(token_ids: list[int], reason: Any = None, name: str = "a", **more: Any) -> Any:
    return vllm_engine.EngineCoreOutput(f"internal-{name}", token_ids, finish_reason=reason, **more)


async def reader(stream: DeltaStream) -> "asyncio.Task[list[Delta]]":
    """Waiting for the first delta already."""

    async def take() -> list[Delta]:
        return [delta async for delta in stream]

    task = asyncio.create_task(take())
    await asyncio.sleep(0.001)
    return task


async def test_a_batch_goes_to_the_requests_in_it(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        texts = {"a": "The quick brown fox", "b": "jumps over"}
        tasks = {name: await reader(on.stream(name)) for name in texts}
        ids = {name: on.tokens(text) for name, text in texts.items()}
        for step in range(max(map(len, ids.values()))):
            outputs = []
            for name, tokens in ids.items():
                if step < len(tokens):
                    last = FINISHED.LENGTH if step == len(tokens) - 1 else None
                    outputs.append(output([tokens[step]], last, name))
            on.put(*outputs, output([5], None, "unknown"))
            await asyncio.sleep(0.001)
        for name, text in texts.items():
            deltas = await tasks[name]
            assert "".join(delta.text for delta in deltas).strip() == text
            assert [token for delta in deltas for token in delta.token_ids] == ids[name]
            assert deltas[-1].finish_reason == "length"
        assert on.outputs.running == 0
        assert on.core.aborted == []


@pytest.mark.parametrize(("ends", "control"), [(2, {0, 1}), (None, {0, 1}), ([2, 1], {0})])
async def test_control_tokens_that_end_nothing_are_never_written_under_a_grammar(
    tokenizer: Any, ends: object, control: set[int]
) -> None:
    assert set(Bench(tokenizer, 1, ends).outputs.unwritten) == control


async def test_the_end_token_has_no_text(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        task = await reader(on.stream())
        on.put(output(on.tokens("Yes")))
        on.put(output([tokenizer.eos_token_id], FINISHED.STOP))
        deltas = await task
        assert "".join(delta.text for delta in deltas).strip() == "Yes"
        assert deltas[-1].finish_reason == "stop"


async def test_a_stop_text_ends_it_here_and_in_the_core(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        task = await reader(on.stream(stop=("two",)))
        for token in on.tokens("one two three"):
            on.put(output([token]))
        deltas = await task
        assert "".join(delta.text for delta in deltas).strip() == "one"
        assert deltas[-1].finish_reason == "stop"
        await asyncio.sleep(0.001)
        assert on.core.aborted == ["internal-a"]


@pytest.mark.parametrize("interval", [1, 2, 3, 5, 100])
async def test_with_an_interval_nothing_is_lost(tokenizer: Any, interval: int) -> None:
    async with bench(tokenizer, interval) as on:
        task = await reader(on.stream())
        tokens = on.tokens("The quick brown fox jumps over the lazy dog and is gone")
        for token in tokens[:-1]:
            on.put(output([token]))
            await asyncio.sleep(0.001)
        on.put(output(tokens[-1:], FINISHED.LENGTH))
        deltas = await task
        assert [token for delta in deltas for token in delta.token_ids] == tokens
        assert "".join(delta.text for delta in deltas).endswith("is gone")
        sizes = [len(delta.token_ids) for delta in deltas]
        assert sizes[0] == 1, "the first token waits for none"
        assert all(size == interval for size in sizes[1:-1])


async def test_closing_aborts_what_is_not_finished(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        stream = on.stream()
        on.put(output(on.tokens("Yes")))
        assert (await anext(stream)).token_ids == on.tokens("Yes")
        assert on.outputs.running == 1
        await stream.aclose()
        assert on.core.aborted == ["internal-a"]
        assert on.outputs.running == 0
        on.put(output([5]))
        await asyncio.sleep(0.001)


async def test_cached_tokens_are_told_with_every_delta(tokenizer: Any) -> None:
    from vllm.v1.metrics.stats import PrefillStats

    async with bench(tokenizer) as on:
        task = await reader(on.stream())
        on.put(output([5], prefill_stats=PrefillStats(num_prompt_tokens=300, num_cached_tokens=256)))
        on.put(output([6], FINISHED.LENGTH))
        assert {delta.cached_tokens for delta in await task} == {256}


async def test_log_probabilities(tokenizer: Any) -> None:
    from vllm.v1.outputs import LogprobsLists

    def drawn(token: int, other: int) -> Any:
        ids, values = np.array([[token, other]]), np.array([[-2.0, -0.5]])
        return LogprobsLists(ids, values, np.array([2]))

    async with bench(tokenizer) as on:
        task = await reader(on.stream(logprobs=1))
        first, second = on.tokens("Yes No")
        on.put(output([first], new_logprobs=drawn(first, second)))
        on.put(output([second], FINISHED.LENGTH, new_logprobs=drawn(second, first)))
        found = [logprob for delta in await task for logprob in delta.logprobs]
        assert [logprob.text.strip() for logprob in found] == ["Yes", "No"]
        assert found[0].logprob == -2.0
        assert [text.strip() for text, _ in found[0].top] == ["No"]


@pytest.mark.parametrize("reason", [FINISHED.ABORT, FINISHED.ERROR, FINISHED.REPETITION])
async def test_other_ends_are_aborts(tokenizer: Any, reason: Any) -> None:
    async with bench(tokenizer) as on:
        task = await reader(on.stream())
        on.put(output([5], reason))
        assert (await task)[-1].finish_reason == "abort"


async def test_a_grammar_that_allows_no_token(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        task = await reader(on.constrained())
        on.put(output([], FINISHED.ERROR))
        with pytest.raises(JsonModeUnmet):
            await task


async def test_when_vllm_dies_every_request_fails(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        tasks = [await reader(on.stream(name)) for name in "ab"]
        on.core.batches.put_nowait(compat.EngineDeadError())
        for task in tasks:
            with pytest.raises(InternalError):
                await task
        assert (on.deaths, on.outputs.running) == (1, 0)


async def test_closing_fails_what_still_runs(tokenizer: Any) -> None:
    """vLLM's monitor says that it is dead before its reader hears of it: the engine closes this one then."""
    async with bench(tokenizer) as on:
        task = await reader(on.stream())
        on.outputs.close()
        with pytest.raises(InternalError):
            await task
        with pytest.raises(InternalError):
            await anext(on.stream("late"))


async def test_an_output_that_cannot_be_read_ends_its_own_request_only(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        broken, other = await reader(on.stream("a", logprobs=1)), await reader(on.stream("b"))
        on.put(output([5], new_logprobs="nonsense"), output([5], None, "b"))
        on.put(output([6], FINISHED.LENGTH, "b"))
        with pytest.raises(InternalError):
            await broken
        assert [token for delta in await other for token in delta.token_ids] == [5, 6]
        assert (on.core.aborted, on.deaths) == (["internal-a"], 0)


async def test_an_output_of_another_vllm_ends_its_own_request_only(tokenizer: Any) -> None:
    """As where a field has another name: the core goes on, and is not started again for each request."""
    async with bench(tokenizer) as on:
        broken, other = await reader(on.stream("a")), await reader(on.stream("b"))
        on.put(SimpleNamespace(request_id="internal-a", finish_reason=None), output([5], None, "b"))
        on.put(output([6], FINISHED.LENGTH, "b"))
        with pytest.raises(InternalError):
            await broken
        assert [token for delta in await other for token in delta.token_ids] == [5, 6]
        assert (on.core.aborted, on.deaths) == (["internal-a"], 0)


async def test_an_abort_of_a_constrained_request_is_no_fault_of_its_schema(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        task = await reader(on.constrained())
        on.put(output([], FINISHED.ABORT))
        assert (await task)[-1].finish_reason == "abort"


async def test_asking_a_dead_one(tokenizer: Any) -> None:
    async with bench(tokenizer) as on:
        on.llm.errored = True
        with pytest.raises(InternalError):
            await anext(on.stream())
        assert on.core.asked == []
