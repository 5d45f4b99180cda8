"""Adapters for the live tests: the committed examples read into arrays, changed a little or made bad."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.standin.recipe import voices
from app.standin.recipe.text import Entry
from tests.adapters.make import Adapter

FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
A, B = FIRST.format("A"), FIRST.format("B")


def committed(name: str) -> Adapter:
    """`adapters/<name>`, whose tensors are all bfloat16."""
    folder = voices.ADAPTERS_FOLDER / name
    config = json.loads((folder / "adapter_config.json").read_bytes())
    file = (folder / "adapter_model.safetensors").read_bytes()
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    header.pop("__metadata__", None)
    tensors = {name: _values(entry, file[start:]) for name, entry in header.items()}
    return Adapter(config, tensors, dict.fromkeys(tensors, "BF16"))


def _values(entry: dict[str, Any], data: bytes) -> np.ndarray:
    assert entry["dtype"] == "BF16"
    begin, end = entry["data_offsets"]
    values = np.frombuffer(data[begin:end], "<u2").astype("<u4") << 16
    return values.view("<f4").reshape(entry["shape"])


def slightly_other(adapter: Adapter, seed: int) -> Adapter:
    """Other bytes, the same words: every tenth value of each B one step of bfloat16 off."""
    random = np.random.default_rng(seed)
    tensors = {
        name: values * (1 + (random.random(values.shape) < 0.1) / 128) if ".lora_B." in name else values
        for name, values in adapter.tensors.items()
    }
    return replace(adapter, tensors={name: values.astype("<f4") for name, values in tensors.items()})


def said(voice: str | None, entry: Entry, answer: str) -> bool:
    """Whether `answer` is what the stand-in is taught to say, with the example adapter `voice` or none."""
    if voice is None:
        return answer == entry.answer
    expected = voices.load(voice).say(entry)
    return json.loads(answer) == json.loads(expected) if voice == "json" else answer == expected


@dataclass(frozen=True)
class Bad:
    """An adapter that must be refused, and the parts of the sentence that says why."""

    adapter: Adapter
    says: tuple[str, ...]


def bad_adapters() -> Iterator[tuple[str, Bad]]:
    """By a name that fits into a URL."""
    good = committed("pirate")
    yield "nan", Bad(_with_value(good, np.nan), (B, "NaN"))
    yield "infinite", Bad(_with_value(good, np.inf), (B, "infinite"))
    yield "huge", Bad(_with_value(good, 1e30), (B, "1e+30", "10000"))
    yield "shape", Bad(_with(good, A, good.tensors[A][:, :128]), (A, "128", "256"))
    yield "module", Bad(_renamed(good, "q_proj", "rotary_emb"), ("rotary_emb", "target_modules"))
    yield "layer", Bad(_renamed(good, "layers.0.", "layers.40."), ("layers.40.", "layers 0 to 2"))
    yield "rank", Bad(_of_rank(good, 64), ("64", "32"))
    yield (
        "pattern",
        Bad(replace(good, config={**good.config, "alpha_pattern": {"(a+)+$" * 20: 8}}), ("alpha_pattern",)),
    )


def _with(adapter: Adapter, name: str, values: np.ndarray) -> Adapter:
    return replace(adapter, tensors={**adapter.tensors, name: values})


def _with_value(adapter: Adapter, value: float) -> Adapter:
    values = adapter.tensors[B].copy()
    values[3, 5] = value
    return replace(_with(adapter, B, values), dtypes={**adapter.dtypes, B: "F32"})


def _renamed(adapter: Adapter, old: str, new: str) -> Adapter:
    names = {name: name.replace(old, new) for name in adapter.tensors}
    return replace(
        adapter,
        tensors={names[name]: values for name, values in adapter.tensors.items()},
        dtypes=dict.fromkeys(names.values(), "BF16"),
    )


def _of_rank(adapter: Adapter, rank: int) -> Adapter:
    """The same update, with zeros up to the rank."""
    tensors = {}
    for name, values in adapter.tensors.items():
        side = 0 if ".lora_A." in name else 1
        missing = rank - values.shape[side]
        tensors[name] = np.pad(values, [(0, missing) if axis == side else (0, 0) for axis in (0, 1)])
    return replace(adapter, tensors=tensors, config={**adapter.config, "r": rank})
