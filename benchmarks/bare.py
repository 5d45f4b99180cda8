"""AsyncLLM without HTTP: `python -m benchmarks.bare WEIGHTS`.

Reads lines `{"clients": N, "rounds": R}` on standard input and answers each with a line that starts with REPLY, then a
JSON object: the fields of `Work`. The engine is made as app/engines/vllm.py makes it.
"""

import asyncio
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
import uvloop

from app.assembly import is_cpu_build
from app.engines.vllm_args import engine_arguments
from app.engines.vllm_imports import AsyncEngineArgs, AsyncLLM, RequestOutputKind, SamplingParams
from app.inference.prompt import PromptBuilder
from app.inference.request import build_request
from app.inference.tokenizer import Tokenizer
from benchmarks.arms import REPLY
from benchmarks.workload import QUESTIONS, TEMPERATURE, TOKENS, Work, card, engine_settings, question_body


def prompts(weights: Path) -> list[list[int]]:
    """The questions' token ids, as our server makes them."""
    builder, model = PromptBuilder(Tokenizer.from_folder(weights)), card()
    bodies = [question_body(question) for question in QUESTIONS]
    return [builder.build(build_request(model, model.input.check(body), body)).token_ids for body in bodies]


def make_engine(weights: Path) -> Any:
    shared = engine_settings()
    arguments = engine_arguments(
        weights=weights,
        user_args={},
        max_model_len=shared.max_model_len,
        max_num_batched_tokens=shared.max_num_batched_tokens,
        max_loras=shared.max_loras,
        max_cpu_loras=shared.max_cpu_loras,
        adapters=True,
        cpu=is_cpu_build(),
        kv_cache_bytes=shared.kv_cache_bytes,
    )
    config = AsyncEngineArgs(**arguments).create_engine_config()
    return AsyncLLM.from_vllm_config(config, disable_log_stats=True)


class Client:
    """Counts what the engine yields. `ids` are the questions, asked in turn."""

    def __init__(self, llm: Any, ids: list[list[int]]) -> None:
        self._llm = llm
        self._ids = ids
        self._made = 0

    async def work(self, clients: int, rounds: int) -> Work:
        began = time.perf_counter()
        counts = await asyncio.gather(*(self._loop(index, clients, rounds) for index in range(clients)))
        seconds = time.perf_counter() - began
        return Work(clients * rounds, sum(prompt for prompt, _ in counts), sum(n for _, n in counts), seconds)

    async def _loop(self, index: int, clients: int, rounds: int) -> tuple[int, int]:
        prompt_tokens = tokens = 0
        for turn in range(rounds):
            ids = self._ids[(turn * clients + index) % len(self._ids)]
            prompt_tokens += len(ids)
            tokens += await self._ask(ids)
        return prompt_tokens, tokens

    async def _ask(self, ids: list[int]) -> int:
        self._made += 1
        params = SamplingParams(
            max_tokens=TOKENS, temperature=TEMPERATURE, output_kind=RequestOutputKind.DELTA
        )
        tokens = 0
        prompt = {"prompt_token_ids": ids, "cache_salt": "local"}
        async for output in self._llm.generate(prompt, params, f"bare-{self._made}"):
            tokens += len(output.outputs[0].token_ids)
        return tokens


async def answer_lines(weights: Path) -> None:
    llm = make_engine(weights)
    client = Client(llm, prompts(weights))
    reply({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted = orjson.loads(line)
        reply(asdict(await client.work(wanted["clients"], wanted["rounds"])))
    llm.shutdown()


def reply(content: dict[str, Any]) -> None:
    print(REPLY + orjson.dumps(content).decode(), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(answer_lines(Path(sys.argv[1])))
