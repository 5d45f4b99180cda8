"""The servers of part "engine": launched all at once, each gives its arms when it is ready."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import psutil

from app.accounts.development import TOKEN_FILE
from app.cli.api_client import FinetunesClient
from app.engines.deployment import Deployment
from app.engines.vllm.plan import plan
from app.engines.vllm.start import QUIET_ENVIRONMENT, VllmPlan
from app.settings import load_settings
from app.types import MAX_LORA_RANK
from benchmarks.arms import (
    BARE,
    BASE_AT_VLLM,
    CHAT,
    NATIVE,
    OPENAI,
    SAME,
    STOCK,
    VLLM_CHAT,
    Address,
    Arm,
    native_request,
    openai_request,
    over_http,
    over_pipe,
    vllm_request,
)
from benchmarks.client import LoadClient, wait_for_reply
from benchmarks.load import HOST
from benchmarks.processes import Child, answers_200, free_port
from benchmarks.workload import ADAPTERS, MODEL, card

START_S = 300.0  # several start at once
KV_CACHE_GIB = 1
NO_NETWORK = {
    name: QUIET_ENVIRONMENT[name] for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE")
}

Arms = list[Arm]


@dataclass(frozen=True, slots=True)
class Site:
    """What every server gets: weights, adapters by name, a folder for logs and data, our settings file, the client."""

    weights: Path
    adapters: Mapping[str, Path]
    folder: Path
    config: Path
    client: LoadClient


Launch = Callable[[Site, ExitStack], Callable[[], Arms]]
"""Starts a server that `ExitStack` ends; what it returns waits until the server is ready."""


def ours(site: Site, stack: ExitStack) -> Callable[[], Arms]:
    """`outworker serve`, as a person starts it; the adapters are pushed over HTTP."""
    port, data = free_port(), site.folder / "data"
    command = [sys.executable, "-m", "app.cli.main", "serve", "--config", str(site.config)]
    environment = {"PORT": str(port), "OUTWORKER_DATA_DIR": str(data)}
    child = stack.enter_context(Child(command, site.folder / "ours.log", environment))

    def wait() -> Arms:
        child.wait_until(answers_200(port, "/ready"), START_S)
        token = (data / TOKEN_FILE).read_text().strip()
        _push(f"http://{HOST}:{port}/client/v4", token, site.adapters)
        server = psutil.Process(child.process.pid).children()[0]  # the launcher's only child
        native = over_http(site.client, child, port, native_request(token))
        openai = over_http(site.client, child, port, openai_request(token))
        chat = Address(f"http://{HOST}:{port}", CHAT, MODEL, token)
        return [Arm(NATIVE, server, native), Arm(OPENAI, server, openai, chat)]

    return wait


def stock(site: Site, stack: ExitStack) -> Callable[[], Arms]:
    """vLLM's server as a user starts it for these adapters; the KV cache is as large as ours."""
    flags = {
        "model": str(site.weights),
        "max_model_len": card().limits.max_total_tokens,
        "enable_lora": True,
        "max_lora_rank": MAX_LORA_RANK,
        "max_loras": len(ADAPTERS) + 1,  # with fewer, tokens of the base get an adapter on a CPU
        "kv_cache_memory_bytes": KV_CACHE_GIB * 1024**3,
        "generation_config": "vllm",
    }
    return _vllm(STOCK, flags, NO_NETWORK, site, stack)


def same(site: Site, stack: ExitStack) -> Callable[[], Arms]:
    """vLLM's server with our engine settings."""
    plan = our_plan(site.config, site.weights)
    return _vllm(SAME, plan.arguments, {**QUIET_ENVIRONMENT, **plan.environment}, site, stack)


def bare(site: Site, stack: ExitStack) -> Callable[[], Arms]:
    """AsyncLLM in a process of its own, which asks itself."""
    log = site.folder / "bare.log"
    child = stack.enter_context(bare_child(site.config, site.weights, site.adapters, log))

    def wait() -> Arms:
        wait_for_reply(child)
        return [Arm(BARE, psutil.Process(child.process.pid), over_pipe(child))]

    return wait


def bare_child(
    config: Path,
    weights: Path,
    adapters: Mapping[str, Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Child:
    named = [f"{name}={path}" for name, path in adapters.items()]
    command = [sys.executable, "-m", "benchmarks.bare", str(config), str(weights), *named]
    return Child(command, log, environment, talks=True)


LAUNCHES: tuple[Launch, ...] = (ours, stock, same, bare)


def write_config(
    folder: Path,
    weights: Path | str,
    name: str = "outworker.toml",
    vllm: Mapping[str, str] = MappingProxyType({}),
    adapters: bool = True,
    *,
    engine: str = "vllm",
) -> Path:
    """A settings file: defaults but for the weights, the size of the KV cache, and what is given."""
    path = folder / name
    model = {
        "name": MODEL,
        "weights": str(weights),
        "engine": engine,
        "kv_cache_gib": KV_CACHE_GIB,
        "adapters": adapters,
    }
    lines = ["[[models]]", *_toml(model), *(["[models.vllm]", *_toml(vllm)] if vllm else [])]
    path.write_text("\n".join([*lines, ""]))
    return path


def _toml(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key} = {orjson.dumps(value).decode()}" for key, value in values.items())


def our_plan(config: Path, weights: Path) -> VllmPlan:
    """What our server starts vLLM with."""
    model, served = load_settings(config, None, {}).models[0], card()
    limits = served.limits.max_total_tokens, served.max_batch_prefill_tokens
    return plan(Deployment(model, weights, weights, *limits))


def flags_of(arguments: Mapping[str, Any]) -> Iterator[str]:
    """AsyncEngineArgs as vLLM's command line has them."""
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield f"--{flag}"
            yield from map(_text, value if isinstance(value, list) else [value])


def _text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else str(value)


def _vllm(
    name: str, arguments: Mapping[str, Any], environment: Mapping[str, str], site: Site, stack: ExitStack
) -> Callable[[], Arms]:
    port = free_port()
    modules = [f"{adapter}={path}" for adapter, path in site.adapters.items()]
    more = {"host": HOST, "port": port, "served_model_name": BASE_AT_VLLM, "lora_modules": modules}
    module = "vllm.entrypoints.openai.api_server"
    command = [sys.executable, "-m", module, *flags_of({**arguments, **more})]
    child = stack.enter_context(Child(command, site.folder / f"{_file_name(name)}.log", environment))

    def wait() -> Arms:
        child.wait_until(answers_200(port, "/health"), START_S)
        work = over_http(site.client, child, port, vllm_request)
        chat = Address(f"http://{HOST}:{port}", VLLM_CHAT, BASE_AT_VLLM)
        return [Arm(name, psutil.Process(child.process.pid), work, chat)]

    return wait


def _push(url: str, token: str, adapters: Mapping[str, Path]) -> None:
    with FinetunesClient(url, "local", token) as client:
        for name, folder in adapters.items():
            draft = client.create(model=MODEL, name=name)
            for file in sorted(folder.iterdir()):
                client.upload_asset(draft.id, file, lambda _: None)


def _file_name(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-").lower()
