"""What llama.cpp is started with, and the parameters of its server."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.engines.choices import SET, TunedSetting, adapters_setting, free_memory
from app.engines.cpu_host import chosen_threads
from app.engines.deployment import Deployment
from app.engines.llamacpp.gguf.model import GgufModel, read_model
from app.engines.memory import ADAPTERS_SHARE, GIB, available_bytes
from app.errors import StartupError

SOCKET_NAME: Final = "llama.sock"
"""llama.cpp's server always listens. On a name that ends so it does on a Unix socket, which nobody else can see in a
private folder, and whose name is removed as soon as it is there."""

SILENT: Final = -1
PROMPT_BATCH_TOKENS: Final = 256
"""A prompt is taken in so many tokens at a time. Between them others get their tokens, and an abort is noticed. Prompts
are read at nine tenths of the speed that twice as many give, half as many at half of it."""

MAX_SLOTS: Final = 8
"""More requests at once make each of them slower on a CPU, and are no faster together."""

MAX_ADAPTERS: Final = 16
"""That stay loaded unless the settings say more: each change of adapters loads all of them."""

GENERATIONS: Final = 2
"""While adapters change, the old server is there beside the new one."""

RESERVE_BYTES: Final = GIB // 2
"""For this process."""

COMPUTE_BYTES: Final = GIB // 8
"""What each server computes with."""


@dataclass(frozen=True, slots=True)
class LlamaCppPlan:
    """`gguf` has been looked at (`app.engines.llamacpp.gguf.model`). `context` are the tokens of one request, prompt and
    answer; `slots` requests run at once; `threads` compute, None for llama.cpp's own choice. `adapters` stay loaded at
    most. Converted adapters are kept in `cache`. `choices` are for people.
    """

    gguf: Path
    cache: Path
    context: int
    slots: int
    adapters: int
    threads: int | None = None
    choices: tuple[TunedSetting, ...] = ()


def server_params(xllamacpp: Any, plan: LlamaCppPlan, adapters: list[Path], private: Path) -> Any:
    """`xllamacpp.CommonParams`: nothing is kept of a prompt, nothing is shown, nothing is listened to.

    Weights stay as they are in the file, so that two servers share them. In llama.cpp's order for the CPU each would have
    its own, and be ready after 4 s for each GB instead of 0.4; Q4_0 is 1.5 times as fast in it, Q4_K no faster.

    A request picks an adapter by its place in `adapters`; all of them are off for one that picks none.
    """
    params = xllamacpp.CommonParams()
    params.model.path = str(plan.gguf)
    params.n_ctx = plan.context * plan.slots
    params.n_parallel = plan.slots
    params.kv_unified = False
    params.n_batch = params.n_ubatch = PROMPT_BATCH_TOKENS
    params.fit_params = False  # a context that does not fit is an error, not a smaller context
    params.ctx_shift = False
    params.no_extra_bufts = True
    params.warmup = False
    if plan.threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = plan.threads
    params.lora_adapters = [_adapter(xllamacpp, path) for path in adapters]
    params.lora_init_without_apply = True
    _keep_nothing(params)
    _listen_to_nobody(params, private)
    return params


def _keep_nothing(params: Any) -> None:
    """An account's prompt is never compared with another's, nor kept when its request has ended."""
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.n_ctx_checkpoints = 0
    params.slot_prompt_similarity = 0.0


def _listen_to_nobody(params: Any, private: Path) -> None:
    params.hostnames = [str(private / SOCKET_NAME)]
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.endpoint_slots = params.endpoint_props = False
    params.endpoint_metrics = True  # its answer is the heartbeat
    params.ui = False
    params.verbosity = SILENT


def _adapter(xllamacpp: Any, path: Path) -> Any:
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path = str(path)
    adapter.scale = 0.0
    return adapter


def needed_bytes(
    weights_bytes: int,
    *,
    context: int,
    cache_bytes_per_token: int,
    slots: int = 1,
    adapters: int = 1,
    adapter_bytes: int = 0,
) -> int:
    """Memory at most. The weights are in it once: servers map the same file.

    `weights_bytes` is the file's size, `adapter_bytes` that of one adapter as llama.cpp has it; `context` are tokens.
    Without adapters there is never a second server. The least that the engine starts with are one slot and, unless
    they are switched off, one adapter.
    """
    generations = GENERATIONS if adapters else 1
    each = slots * context * cache_bytes_per_token + adapters * adapter_bytes + COMPUTE_BYTES
    return RESERVE_BYTES + weights_bytes + generations * each


@dataclass(frozen=True, slots=True)
class Requested:
    """What the settings say; None is chosen here. `adapters` 0 serves none."""

    kv_cache_gib: float | None = None
    adapters: int | None = None


NOTHING_REQUESTED: Final = Requested()


def plan(deployment: Deployment) -> LlamaCppPlan:
    """What llama.cpp is started with. Raises StartupError when weights or memory don't suffice."""
    model = deployment.model
    requested = Requested(model.kv_cache_gib, model.max_adapters_resident if model.adapters else 0)
    return size_plan(
        deployment.path, deployment.cache, context=deployment.max_total_tokens, requested=requested
    )


def size_plan(
    gguf: Path,
    cache: Path,
    *,
    context: int,
    requested: Requested = NOTHING_REQUESTED,
    free_bytes: int | None = None,
) -> LlamaCppPlan:
    """`context` are the tokens of a request, prompt and answer.

    Raises StartupError where the file can't be served, or there is no room for it and one request.
    """
    model = read_model(gguf)
    if context > model.context:
        raise StartupError(
            f"weights: {gguf}: it was made for {model.context} tokens, the card allows {context}: serve a card with a "
            "smaller context or other weights"
        )
    free = available_bytes() if free_bytes is None else free_bytes
    shares = _shares(model, context, requested, free)
    threads, threads_choice = chosen_threads()
    return LlamaCppPlan(
        gguf=gguf,
        cache=cache,
        context=context,
        slots=shares.slots,
        adapters=shares.adapters,
        threads=threads,
        choices=(threads_choice, *_choices(shares, requested, free)),
    )


@dataclass(frozen=True, slots=True)
class _Shares:
    """`cache_bytes` of the slots of one server."""

    slots: int
    adapters: int
    cache_bytes: int


def _shares(model: GgufModel, context: int, requested: Requested, free_bytes: int) -> _Shares:
    """Least first: one request, or those asked for, and an adapter; then more adapters, then more requests."""
    each = context * model.cache_bytes_per_token
    slots = 1 if requested.kv_cache_gib is None else _slots_of(requested.kv_cache_gib, each, context)

    def needed(adapters: int) -> int:
        return needed_bytes(
            model.size,
            context=context,
            cache_bytes_per_token=model.cache_bytes_per_token,
            slots=slots,
            adapters=adapters,
            adapter_bytes=model.adapter_bytes,
        )

    adapters = 1 if requested.adapters is None else requested.adapters
    least = needed(adapters)
    if least > free_bytes:
        raise StartupError(
            f"weights: {model.path}: {least / GIB:.1f} GiB of memory are needed for {slots} requests of {context} tokens "
            f"at once and {adapters} adapters, {free_bytes / GIB:.1f} are free: end other programs, choose a smaller "
            "quantization, serve a card with a smaller context, or set kv_cache_gib or max_adapters_resident lower"
        )
    generations = GENERATIONS if adapters else 1
    left = free_bytes - needed(adapters)
    if requested.adapters is None:
        more = left // ADAPTERS_SHARE // (generations * model.adapter_bytes)
        adapters = min(adapters + more, MAX_ADAPTERS)
        left = free_bytes - needed(adapters)
    if requested.kv_cache_gib is None:
        slots = min(slots + left // (generations * each), MAX_SLOTS)
    return _Shares(slots, adapters, slots * each)


def _slots_of(kv_cache_gib: float, each: int, context: int) -> int:
    slots = int(kv_cache_gib * GIB) // each
    if not slots:
        raise StartupError(
            f"kv_cache_gib is too small: one request of {context} tokens needs {each / GIB:.2f} GiB, "
            f"found {kv_cache_gib:g}"
        )
    return min(slots, MAX_SLOTS)


def _choices(shares: _Shares, requested: Requested, free_bytes: int) -> Iterator[TunedSetting]:
    why = f"for {shares.slots} requests of full length at once, at most {MAX_SLOTS}"
    reason = f"{SET}, {why}" if requested.kv_cache_gib else f"{why}; {free_memory(free_bytes)}"
    yield TunedSetting("KV cache", f"{shares.cache_bytes / GIB:.2f} GiB", reason, "kv_cache_gib")
    if shares.adapters:
        yield adapters_setting(shares.adapters, by_hand=bool(requested.adapters), free_bytes=free_bytes)
