"""What every server of part "engine" is asked, and the engine settings that they share."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.catalog.cards import ModelCard, load_cards
from app.engines.vllm_args import MAX_LORA_RANK
from app.settings import CHECKOUT
from app.settings.schema import model_defaults
from benchmarks.errors import BenchError
from benchmarks.load import Load

MODEL = "@hf/mistral/mistral-7b-instruct-v0.2"
TOKENS = 64
TEMPERATURE = 0.7
KV_CACHE_GIB = 1
ADAPTERS_RESIDENT = 16
CLIENTS = (1, 16, 64)
ROUNDS = {1: 6, 16: 4, 64: 3}
QUESTIONS = (
    "What is Outworker?",
    "How do I start the server?",
    "Which engine does it use?",
    "What is a LoRA adapter?",
    "How does a client stream an answer?",
    "Where is the token kept?",
    "What does the server answer when its queue is full?",
    "Which models can it serve?",
)
# Without it vLLM keeps a core for its core process; our server sets it (app/assembly.py).
ALL_CORES = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}

_COUNT = {
    name: re.compile(rb'"%b": ?(\d+)' % name.encode()) for name in ("completion_tokens", "prompt_tokens")
}


@dataclass(frozen=True, slots=True)
class Work:
    """What was done in one turn: tokens are those delivered, by the server's own usage."""

    requests: int
    prompt_tokens: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What all engines are started with. Lengths and batches in tokens."""

    max_model_len: int
    max_num_batched_tokens: int
    max_lora_rank: int
    max_loras: int
    max_cpu_loras: int
    kv_cache_bytes: int


def card() -> ModelCard:
    return load_cards(CHECKOUT / "schemas")[MODEL]


def engine_settings() -> EngineSettings:
    """Those that our server derives from the model card and its default settings, and what all share."""
    model, prefill = model_defaults(), card().max_batch_prefill_tokens
    assert prefill is not None  # this card has one
    return EngineSettings(
        max_model_len=card().limits.max_total_tokens,
        max_num_batched_tokens=prefill,
        max_lora_rank=MAX_LORA_RANK,
        max_loras=model["max_adapters_in_batch"],
        max_cpu_loras=ADAPTERS_RESIDENT,
        kv_cache_bytes=KV_CACHE_GIB * 1024**3,
    )


def question_body(question: str) -> dict[str, Any]:
    """The same fields in both dialects."""
    return {
        "messages": [{"role": "user", "content": question}],
        "stream": True,
        "max_tokens": TOKENS,
        "temperature": TEMPERATURE,
    }


def count(load: Load) -> Work:
    """Tokens from the usage in each stream's last event. Raises BenchError where a stream has none."""
    bodies = [answer.body for answer in load.answers]
    return Work(len(bodies), _sum("prompt_tokens", bodies), _sum("completion_tokens", bodies), load.seconds)


def _sum(name: str, bodies: Sequence[bytes]) -> int:
    total = 0
    for body in bodies:
        found = _COUNT[name].findall(body)
        if not found:
            raise BenchError(f"a stream without {name}: it ends with {body[-200:].decode(errors='replace')}")
        total += int(found[-1])
    return total


def check_equal(works: Sequence[Work]) -> None:
    """Every server did the same: the same prompts, TOKENS tokens each. Raises BenchError."""
    for work in works:
        if work.tokens != work.requests * TOKENS:
            raise BenchError(f"{work.requests} streams had {work.tokens} tokens instead of {TOKENS} each")
    prompts = {(work.requests, work.prompt_tokens) for work in works}
    if len(prompts) != len({requests for requests, _ in prompts}):
        raise BenchError(f"the servers counted different prompt tokens: {sorted(prompts)}")
