"""AsyncLLM without HTTP: `python -m benchmarks.bare CONFIG WEIGHTS NAME=FOLDER...`.

It is told (`benchmarks.client.ask`) a `Job` as JSON and answers with `Work`. The engine is made as
app/engines/vllm/engine.py makes it, from the same settings file as our server's.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import uvloop

from app.engines.vllm.cpu_plugin import SWITCH
from app.engines.vllm.sampling_params import to_vllm
from app.engines.vllm.start import VllmPlan, start_vllm
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.types import Sampling
from benchmarks.client import answer_line, reply
from benchmarks.servers import our_plan
from benchmarks.workload import Ask, Job, Stream, Work, token_ids

VLLMS_LORA = "OUTWORKER_BENCH_VLLMS_LORA"
"""Exported: vLLM computes LoRA its own way. Each adapter's requests run beside others with one, so it computes right."""


class Client:
    """Asks the engine and notes when it answers."""

    def __init__(self, config: Path, weights: Path, adapters: Mapping[str, str]) -> None:
        self._vllm, self._llm = start_vllm(_plan(config, weights))
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415  seconds of import, after the settings

        self._kind = RequestOutputKind.DELTA
        self._builder = PromptBuilder(Tokenizer.from_folder(weights))
        self._adapters = {
            name: self._vllm.LoRARequest(name, number, folder)
            for number, (name, folder) in enumerate(adapters.items(), 1)
        }
        self._made = 0

    async def work(self, job: Job) -> Work:
        asked = [
            (token_ids(self._builder, each.text), self._adapters.get(each.adapter or "")) for each in job.asks
        ]
        sampling = Sampling(max_tokens=job.max_tokens, temperature=job.temperature, ignore_eos=True)
        shares = [asked[index :: job.clients] for index in range(job.clients)]
        began = time.perf_counter()
        streams = await asyncio.gather(*(self._loop(share, sampling) for share in shares))
        seconds = time.perf_counter() - began
        return Work(seconds, [stream for several in streams for stream in several])

    def shutdown(self) -> None:
        self._llm.shutdown()

    async def _loop(self, share: list[tuple[list[int], Any]], sampling: Sampling) -> list[Stream]:
        return [await self._ask(ids, lora, sampling) for ids, lora in share]

    async def _ask(self, ids: list[int], lora: Any, sampling: Sampling) -> Stream:
        self._made += 1
        params = self._vllm.SamplingParams(**to_vllm(sampling), output_kind=self._kind)
        texts, moments, tokens = [], [], 0
        prompt = {"prompt_token_ids": ids, "cache_salt": "local"}
        began = time.perf_counter()
        async for output in self._llm.generate(prompt, params, f"bare-{self._made}", lora_request=lora):
            completion = output.outputs[0]
            tokens += len(completion.token_ids)
            if completion.text:
                texts.append(completion.text)
                moments.append(time.perf_counter() - began)
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        return Stream(len(ids), tokens, "".join(texts), moments[0], gaps)


def _plan(config: Path, weights: Path) -> VllmPlan:
    plan = our_plan(config, weights)
    if VLLMS_LORA not in os.environ:
        return plan
    environment = {name: value for name, value in plan.environment.items() if name != SWITCH}
    return replace(plan, environment=environment)


async def started(config: Path, weights: Path, adapters: Mapping[str, str]) -> Client:
    """Made inside the loop, which AsyncLLM then reads its outputs on."""
    return Client(config, weights, adapters)


def read_job(job: dict[str, Any]) -> Job:
    return Job(**{**job, "asks": [Ask(**each) for each in job["asks"]]})


def answer_lines(runner: asyncio.Runner, client: Client) -> None:
    gc.collect()
    gc.freeze()  # as vLLM's own server does: what the imports left is not looked through again under load
    reply()
    for line in sys.stdin.buffer:  # the loop stands still between jobs, so does the engine
        answer_line(line, lambda job: runner.run(client.work(read_job(job))))
    client.shutdown()


def main() -> None:
    config, weights, *adapters = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pairs = dict(adapter.partition("=")[::2] for adapter in adapters)
        answer_lines(runner, runner.run(started(Path(config), Path(weights), pairs)))


if __name__ == "__main__":
    main()
