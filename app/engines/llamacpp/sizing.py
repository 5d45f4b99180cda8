"""How many requests llama.cpp runs at once on this machine: as its memory has room for their keys and values."""

from pathlib import Path
from typing import Final

from app.engines.choices import Choice
from app.engines.llamacpp.model import GgufModel, read_model
from app.engines.llamacpp.plan import LlamaCppPlan
from app.engines.memory import GIB, available_bytes
from app.errors import StartupError

MAX_SLOTS: Final = 8
"""More at once make each of them slower on a CPU, and are no faster together."""

GENERATIONS: Final = 2
"""While adapters change, the old server's caches are there beside the new one's."""

RESERVE_BYTES: Final = GIB // 2
"""For this process, and what llama.cpp computes with."""

ADAPTERS: Final = 16


def size_plan(
    gguf: Path,
    cache: Path,
    *,
    context: int,
    slots: int | None = None,
    adapters: int | None = None,
    threads: int | None = None,
    free_bytes: int | None = None,
) -> LlamaCppPlan:
    """`context` are the tokens of a request, prompt and answer. What is None is chosen here.

    Raises StartupError where the file can't be served, or there is no room for it and one request.
    """
    model = read_model(gguf)
    free = available_bytes() if free_bytes is None else free_bytes
    fitting = _slots(model, context, free)
    if fitting < 1 and slots is None:
        need = (model.size + RESERVE_BYTES + GENERATIONS * context * model.cache_bytes_per_token) / GIB
        raise StartupError(
            f"weights: {gguf}: {need:.1f} GiB of memory are needed for one request of {context} tokens, "
            f"{free / GIB:.1f} are free: choose a smaller quantization"
        )
    chosen = slots or min(fitting, MAX_SLOTS)
    why = "set by you" if slots else f"what {free / GIB:.1f} GiB of free memory hold, at most {MAX_SLOTS}"
    choices = (Choice("requests at once", str(chosen), why, "slots"),)
    return LlamaCppPlan(
        gguf=gguf,
        cache=cache,
        context=context,
        slots=chosen,
        adapters=ADAPTERS if adapters is None else adapters,
        threads=threads,
        choices=choices,
    )


def _slots(model: GgufModel, context: int, free_bytes: int) -> int:
    each = GENERATIONS * context * model.cache_bytes_per_token
    return (free_bytes - model.size - RESERVE_BYTES) // each
