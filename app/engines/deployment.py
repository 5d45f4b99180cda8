"""What an engine is to serve, and what every engine is given by the server's assembly."""

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from app.engines.choices import TunedSetting
from app.engines.engine import Engine
from app.engines.registry import EngineKind
from app.engines.supervision import Supervision
from app.settings import Model

LoadQuantization = Literal["none", "8-bit", "4-bit"]
"""What is quantized while the weights are loaded."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Weights to serve on this machine.

    `path` is the folder or file that the engine loads, `cache` a folder for what it derives from adapters.
    `max_total_tokens` is the longest request that a card of `model`'s weights allows, prompt and answer together.
    `max_prefill_tokens` is what the cards say of a step's prompts, None where they say nothing.
    """

    model: Model
    path: Path
    cache: Path
    max_total_tokens: int
    max_prefill_tokens: int | None = None
    quantization: LoadQuantization = "none"


class Plan(Protocol):
    """What an engine is started with. `choices` are those that were made for the machine, for people."""

    @property
    def choices(self) -> tuple[TunedSetting, ...]: ...


@dataclass(frozen=True, slots=True)
class EngineParts:
    """`slot_wait_s` is how long a request waits for room for its adapter, in seconds; `digests` are those of the adapters
    that are stored.
    """

    slot_wait_s: float
    supervision: Supervision
    digests: Callable[[], Collection[str]]


class EngineModule(Protocol):
    """The module that a row of the registry names."""

    def plan(self, deployment: Deployment) -> Plan:
        """Look at the weights and the machine. Called in a thread. Raises StartupError or SettingsError."""

    def build(self, model: Model, make_plan: Callable[[], Any], parts: EngineParts) -> Engine:
        """Make the engine without starting it. It calls `make_plan` at each start, in a thread."""


def module_of(kind: EngineKind) -> EngineModule:
    """Import the module that a row of the registry names; nothing of the engine's packages is imported yet."""
    return cast(EngineModule, importlib.import_module(kind.module))
