"""What is compared in part "engine": each arm with how it is asked, and the process between clients and engine."""

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from benchmarks.client import LoadClient, ask_for_work
from benchmarks.load import post
from benchmarks.processes import Child
from benchmarks.workload import MODEL, Ask, Job, Work, body_of

NATIVE, OPENAI, STOCK, SAME, BARE = (
    "ours, native",
    "ours, OpenAI",
    "vLLM, stock",
    "vLLM, as ours",
    "AsyncLLM",
)
"""The names of all arms, in the order of every table."""

WHAT = {
    NATIVE: "`outworker serve`, native dialect",
    OPENAI: "the same process, OpenAI's chat completions",
    STOCK: "vLLM's OpenAI server, chat completions, its defaults but for context, LoRA and KV cache",
    SAME: "vLLM's OpenAI server with every engine argument and variable of ours",
    BARE: "vLLM's engine with our arguments in a process that asks itself: no HTTP, no JSON, no client",
}
BASE_AT_VLLM = "base"
CHAT = "/client/v4/accounts/local/ai/v1/chat/completions"
VLLM_CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a client of OpenAI's chat finds the base model; without a token none is sent."""

    url: str
    path: str
    model: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """`work(job)` loads it; `server` is the process between clients and engine, whose children are the engine.

    `chat` is set where it answers OpenAI's chat completions.
    """

    name: str
    server: psutil.Process
    work: Callable[[Job], Work]
    chat: Address | None = None


def over_http(
    client: LoadClient, child: Child, port: int, request: Callable[[Ask, Job], bytes]
) -> Callable[[Job], Work]:
    """`child` is told of where the load fails because it ended."""

    def work(job: Job) -> Work:
        requests = [request(each, job) for each in job.asks]
        with child.loaded():
            return client.work(port, requests, job.clients)

    return work


def over_pipe(child: Child) -> Callable[[Job], Work]:
    return lambda job: ask_for_work(child, job)


def native_request(token: str) -> Callable[[Ask, Job], bytes]:
    """The dialect has no `ignore_eos`: that an answer does not end early is up to the weights."""
    path = f"/client/v4/accounts/local/ai/run/{MODEL}"
    return lambda each, job: post(path, {**body_of(each, job), **_lora(each)}, token)


def openai_request(token: str) -> Callable[[Ask, Job], bytes]:
    return lambda each, job: post(CHAT, {**_openai(each, job), "model": MODEL, **_lora(each)}, token)


def vllm_request(each: Ask, job: Job) -> bytes:
    return post(VLLM_CHAT, {**_openai(each, job), "model": each.adapter or BASE_AT_VLLM})


def _openai(each: Ask, job: Job) -> dict[str, object]:
    return {**body_of(each, job), "ignore_eos": True, "stream_options": {"include_usage": True}}


def _lora(each: Ask) -> dict[str, str]:
    return {"lora": each.adapter} if each.adapter else {}
