"""From settings to engine groups: which weights, which engine, what it may use. Only `app.serve` and the cli call it."""

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from itertools import groupby
from pathlib import Path

from app.adapters.base import BaseShape, read_base
from app.adapters.store import AdapterStore
from app.catalog.cards import ModelCard
from app.engines.engine import Engine
from app.engines.fake import FakeEngine
from app.engines.memory import adapter_step_tokens, available_bytes
from app.engines.shares import Shares, cpu_host_shares, gpu_host_shares
from app.engines.vllm import VllmEngine
from app.engines.vllm_args import check_arguments, engine_arguments
from app.engines.vllm_start import VllmPlan
from app.engines.weights import check_weights
from app.errors import SettingsError
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.server import EngineGroup
from app.settings import CHECKOUT, Model, Settings
from app.weights import STAND_IN, Weights

EXAMPLES = {
    "pirate": "Answers like a pirate.",
    "json": "Answers with a JSON object only.",
}
SLOT_WAIT_S = 10.0
FAKE_SLOTS = 16
DEFAULT_PREFILL_TOKENS = 8192


class Assembly:
    """Makes the groups of `create_app`. Cards with equal weights share one engine, sized for the largest of them."""

    def __init__(self, settings: Settings, cards: Mapping[str, ModelCard], adapters: AdapterStore) -> None:
        self._settings = settings
        self._cards = cards
        self._adapters = adapters

    def groups(self) -> list[EngineGroup]:
        """Raises SettingsError for engine arguments that vLLM does not have or the server owns."""
        check_arguments(self._settings)
        models = sorted(self._settings.models, key=lambda model: model.weights)
        return [self._group(list(equal)) for _, equal in groupby(models, key=lambda model: model.weights)]

    def _group(self, models: list[Model]) -> EngineGroup:
        model = models[0]
        cards = tuple(self._cards[entry.name] for entry in models)
        weights = Weights(model.weights, self._settings.server.data_dir)

        def load_prompts() -> PromptBuilder:
            folder = weights.folder()
            if model.weights == STAND_IN and model.adapters:
                self._register_examples(cards[0], folder)
            return PromptBuilder(Tokenizer.from_folder(folder))

        @cache
        def load_base() -> BaseShape:
            return read_base(weights.folder(), model.weights)

        engine = self._engine(model, cards, weights)
        return EngineGroup(engine, model.weights, cards, load_prompts, load_base, model.adapters)

    def _engine(self, model: Model, cards: tuple[ModelCard, ...], weights: Weights) -> Engine:
        if model.engine == "fake":
            return FakeEngine(slots=model.max_adapters_resident or FAKE_SLOTS, wait_s=SLOT_WAIT_S)
        return VllmEngine(lambda: vllm_plan(model, cards, weights.folder()), wait_s=SLOT_WAIT_S)

    def _register_examples(self, card: ModelCard, folder: Path) -> None:
        base = read_base(folder, STAND_IN)
        for name, description in EXAMPLES.items():
            there = self._adapters.find(self._settings.account_id, name)
            if there is not None and there.description != description:
                continue  # somebody's own adapter of that name
            self._adapters.add(
                self._settings.account_id,
                name,
                card.name,
                STAND_IN,
                CHECKOUT / "adapters" / name,
                base,
                description=description,
                replace=True,  # a newer checkout may bring newer examples
            )


def vllm_plan(model: Model, cards: tuple[ModelCard, ...], folder: Path) -> VllmPlan:
    """What vLLM is started with. Raises StartupError when weights or memory don't suffice."""
    weights_bytes = check_weights(folder)
    max_model_len = max(card.limits.max_total_tokens for card in cards)
    prefill = [card.max_batch_prefill_tokens for card in cards if card.max_batch_prefill_tokens]
    cpu = is_cpu_build()
    shares = _shares(model, folder, weights_bytes, max_model_len, cpu=cpu)
    step_tokens = max(prefill, default=DEFAULT_PREFILL_TOKENS)
    if cpu and model.adapters:
        step_tokens = min(step_tokens, adapter_step_tokens(folder))
    arguments = engine_arguments(
        weights=folder,
        user_args=model.vllm,
        max_model_len=max_model_len,
        max_num_batched_tokens=step_tokens,
        max_loras=model.max_adapters_in_batch,
        max_cpu_loras=shares.adapters_resident,
        adapters=model.adapters,
        cpu=cpu,
        kv_cache_bytes=shares.kv_cache_bytes,
    )
    # With a core reserved, as vLLM does by default, its core process spins on it: measured 1.3 times slower.
    environment = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"} if cpu else {}
    return VllmPlan(arguments, environment, shares.adapters_resident)


def _shares(model: Model, folder: Path, weights_bytes: int, max_model_len: int, *, cpu: bool) -> Shares:
    if not cpu:
        return gpu_host_shares(model, folder, available_bytes=available_bytes())
    return cpu_host_shares(
        model,
        folder,
        weights_bytes=weights_bytes,
        max_model_len=max_model_len,
        available_bytes=available_bytes(),
    )


def is_cpu_build() -> bool:
    """Whether the installed vLLM is the CPU distribution. Raises SettingsError when there is none."""
    for name, cpu in (("vllm-cpu", True), ("vllm", False)):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return cpu
    raise SettingsError("the engine vllm is not installed: run `make serve`, or set engine to another")
