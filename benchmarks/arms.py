"""The servers of part "engine": each is started, gives itself to be loaded and measured, and is ended."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson
import psutil

from app.accounts.development import TOKEN_FILE
from app.engines.vllm_start import QUIET_ENVIRONMENT
from benchmarks.load import HOST, closed_loop, post
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.workload import (
    ADAPTERS_RESIDENT,
    ALL_CORES,
    KV_CACHE_GIB,
    MODEL,
    QUESTIONS,
    Work,
    count,
    engine_settings,
    question_body,
)

START_S = 180.0
REPLY = "reply "
"""What a line of `benchmarks.bare` begins with that is meant for us."""


@dataclass(frozen=True, slots=True)
class Running:
    """`work(clients, rounds)` loads it; `server` is the process between clients and engine."""

    work: Callable[[int, int], Work]
    server: psutil.Process


@dataclass(frozen=True, slots=True)
class Arm:
    """`start(weights, folder)`: logs and data go into `folder`. `what` says how it is started."""

    name: str
    what: str
    start: Callable[[Path, Path], AbstractContextManager[Running]]


@contextmanager
def ours(weights: Path, folder: Path) -> Iterator[Running]:
    """`outworker serve`, as a person starts it."""
    port, data, config = free_port(), folder / "data", folder / "outworker.toml"
    model = {
        "name": MODEL,
        "weights": str(weights),
        "kv_cache_gib": KV_CACHE_GIB,
        "max_adapters_resident": ADAPTERS_RESIDENT,
    }
    lines = [f"{key} = {orjson.dumps(value).decode()}" for key, value in model.items()]
    config.write_text("\n".join(["[[models]]", *lines, ""]))
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(config)]
    with Child(command, folder / "ours.log", {"PORT": str(port), "OUTWORKER_DATA_DIR": str(data)}) as child:
        child.wait_until(answers_200(port, "/ready"), START_S)
        token = (data / TOKEN_FILE).read_text().strip()
        path = f"/client/v4/accounts/local/ai/run/{MODEL}"
        requests = [post(path, question_body(question), token) for question in QUESTIONS]
        server = psutil.Process(child.process.pid).children()[0]  # the launcher's only child
        yield Running(partial(_over_http, child, port, requests), server)


@contextmanager
def bare(weights: Path, folder: Path) -> Iterator[Running]:
    """AsyncLLM in a process of its own, which asks itself."""
    command = [sys.executable, "-m", "benchmarks.bare", str(weights)]
    environment = {**QUIET_ENVIRONMENT, **ALL_CORES}
    with Child(command, folder / "bare.log", environment, talks=True) as child:
        read_reply(child)
        yield Running(partial(_over_pipe, child), psutil.Process(child.process.pid))


@contextmanager
def vllm_server(environment: Mapping[str, str], weights: Path, folder: Path) -> Iterator[Running]:
    """vLLM's OpenAI server: its own defaults but for the flags of `vllm_flags`."""
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *vllm_flags(weights, port)]
    quiet = {
        name: QUIET_ENVIRONMENT[name] for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE")
    }
    with Child(command, folder / "vllm-server.log", {**quiet, **environment}) as child:
        child.wait_until(answers_200(port, "/health"), START_S)
        requests = [_openai_request(question) for question in QUESTIONS]
        yield Running(partial(_over_http, child, port, requests), psutil.Process(child.process.pid))


def vllm_flags(weights: Path, port: int) -> list[str]:
    shared = engine_settings()
    flags = {
        "--model": str(weights),
        "--served-model-name": "bench",
        "--host": HOST,
        "--port": port,
        "--max-model-len": shared.max_model_len,
        "--max-num-batched-tokens": shared.max_num_batched_tokens,
        "--max-lora-rank": shared.max_lora_rank,
        "--max-loras": shared.max_loras,
        "--max-cpu-loras": shared.max_cpu_loras,
        "--kv-cache-memory-bytes": shared.kv_cache_bytes,
        "--generation-config": "vllm",
    }
    return ["--enable-lora", *(str(part) for flag in flags.items() for part in flag)]


ARMS = (
    Arm("ours", "`outworker serve`, native dialect", ours),
    Arm("AsyncLLM", "no HTTP, engine arguments of ours", bare),
    Arm(
        "vLLM server",
        "its OpenAI server, chat completions, stock but for the flags of equal work: context, LoRA, KV cache",
        partial(vllm_server, {}),
    ),
    Arm(
        "vLLM server, all cores",
        "the same, with VLLM_CPU_NUM_OF_RESERVED_CPU=0 as ours",
        partial(vllm_server, ALL_CORES),
    ),
)


def read_reply(child: Child) -> bytes:
    """The next line that is meant for us. Raises BenchError when the program ends instead."""
    assert child.process.stdout is not None
    for line in child.process.stdout:
        if line.startswith(REPLY.encode()):
            return bytes(line.removeprefix(REPLY.encode()))
    child.process.wait(START_S)
    raise child.failure(f"ended with status {child.process.returncode}")


def _over_http(child: Child, port: int, requests: list[bytes], clients: int, rounds: int) -> Work:
    with child.loaded():
        return count(closed_loop(port, requests, clients=clients, rounds=rounds))


def _over_pipe(child: Child, clients: int, rounds: int) -> Work:
    assert child.process.stdin is not None
    child.process.stdin.write(orjson.dumps({"clients": clients, "rounds": rounds}) + b"\n")
    child.process.stdin.flush()
    return Work(**orjson.loads(read_reply(child)))


def _openai_request(question: str) -> bytes:
    body = {**question_body(question), "model": "bench", "stream_options": {"include_usage": True}}
    return post("/v1/chat/completions", body)
