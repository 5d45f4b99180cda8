"""The memory in the data, which is what the engines demand at their start: `python -m tests.weights.figures` writes it.

An engine demands so many bytes when it starts with them free and is refused with fewer, for the weights' sizes, the
default settings and the larger of the two cards. The shape is the original's config.json.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from app.catalog.cards import load_cards
from app.engines.llamacpp.gguf.model import GgufModel
from app.engines.llamacpp.plan import size_plan
from app.engines.memory import HEADROOM_BYTES, cpu_host_shares
from app.engines.transformers.plan import resident_bytes
from app.errors import StartupError
from app.settings import CHECKOUT, load_settings
from app.weights.variants import FOLDER, GB

DATA = FOLDER / "mistral-7b-instruct-v0.2.json"
SHAPE = {
    "model_type": "mistral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
MODEL = load_settings(None, None, {}).models[0]
CONTEXT = max(
    load_cards(CHECKOUT / "schemas")[model.name].limits.max_total_tokens
    for model in load_settings(None, None, {}).models
)
CARD_RESERVE_BYTES = int(2.5 * GB)
"""What the llamafile card adds to a file's size for its most memory."""

MOST_BYTES = 64 * GB
STEP_BYTES = 100_000


FIGURE = re.compile(r'(?<=memory_gb": )[0-9.]+')


def with_figures(text: str) -> str:
    """The data with its memory as it should be."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(SHAPE))
        figures = chain.from_iterable(_figures(folder, each) for each in json.loads(text)["variants"])
        return FIGURE.sub(lambda _: next(figures), text)


def _figures(folder: Path, variant: dict[str, Any]) -> Iterator[str]:
    """In the order of the text."""
    for run in variant["engines"]:
        yield _rounded_up(_demand(folder, variant, run["engine"]))
        if "host_memory_gb" in run:
            yield _rounded_up(resident_bytes(folder, "none", "bfloat16") + HEADROOM_BYTES)


def _demand(folder: Path, variant: dict[str, Any], engine: str) -> int:
    size: int = round(variant["size_gb"] * GB)
    if engine == "llamacpp":
        return max(_least(lambda free: _llamacpp(size, free)), size + CARD_RESERVE_BYTES)
    if engine == "transformers":
        size = resident_bytes(folder, variant["quantization"], "bfloat16")
    return _least(lambda free: _shares(folder, size, free))


def _shares(folder: Path, size: int, free: int) -> None:
    cpu_host_shares(MODEL, folder, weights_bytes=size, max_model_len=CONTEXT, available_bytes=free)


def _llamacpp(size: int, free: int) -> None:
    model = GgufModel(
        path=Path("a.gguf"),
        pieces=(),
        scores=(),
        hidden=4096,
        intermediate=14336,
        layers=32,
        heads=32,
        key_heads=8,
        head_dim=128,
        context=32768,
        rope_theta=1e6,
        norm_epsilon=1e-5,
        size=size,
    )
    with patch("app.engines.llamacpp.plan.read_model", return_value=model):
        size_plan(model.path, Path("cache"), context=CONTEXT, free_bytes=free)


def _least(start: Callable[[int], None]) -> int:
    """Free bytes with which `start` does not refuse, and would with `STEP_BYTES` fewer."""
    refused, taken = 0, MOST_BYTES
    while taken - refused > STEP_BYTES:
        middle = (refused + taken) // 2
        try:
            start(middle)
        except StartupError:
            refused = middle
        else:
            taken = middle
    return taken


def _rounded_up(size: int) -> str:
    return f"{-(-size // (GB // 100)) / 100:.2f}"


if __name__ == "__main__":
    DATA.write_text(with_figures(DATA.read_text()))
