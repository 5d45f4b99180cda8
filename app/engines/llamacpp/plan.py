"""What llama.cpp is started with, and the parameters of its server."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.engines.choices import Choice

SOCKET_NAME: Final = "llama.sock"
"""llama.cpp's server always listens. On a name that ends so it does on a Unix socket, which nobody else can see in a
private folder, and whose name is removed as soon as it is there."""

SILENT: Final = -1
PROMPT_BATCH_TOKENS: Final = 256
"""A prompt is taken in so many tokens at a time. Between them others get their tokens, and an abort is noticed. Prompts
are read at nine tenths of the speed that twice as many give, half as many at half of it."""


@dataclass(frozen=True, slots=True)
class LlamaCppPlan:
    """`gguf` has been looked at (`app.engines.llamacpp.model`). `context` are the tokens of one request, prompt and
    answer; `slots` requests run at once; `threads` compute, None for llama.cpp's own choice. `adapters` stay loaded at
    most. Converted adapters are kept in `cache`. `choices` are for people.
    """

    gguf: Path
    cache: Path
    context: int
    slots: int
    adapters: int
    threads: int | None = None
    choices: tuple[Choice, ...] = ()


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
