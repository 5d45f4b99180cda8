"""From settings to engine groups: which weights, which engine, what it may use. Called by `process` and `doctor`."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from app.adapters.base import BaseShape, base_name, read_base
from app.adapters.store import AdapterStore
from app.catalog.cards import ModelCard
from app.engines.choices import Choice
from app.engines.engine import Engine
from app.engines.fake import FakeEngine
from app.engines.llamacpp.engine import LlamaCppEngine
from app.engines.llamacpp.plan import LlamaCppPlan
from app.engines.llamacpp.sizing import Wishes, size_plan
from app.engines.supervision import Supervision
from app.engines.transformers_engine.engine import TransformersEngine
from app.engines.transformers_engine.plan import TransformersPlan, transformers_plan
from app.engines.vllm import VllmEngine
from app.engines.vllm_args import check_arguments
from app.engines.vllm_start import VllmPlan
from app.errors import EngineLost
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.logs import reached
from app.plan import by_engine, vllm_plan
from app.server.application import EngineGroup
from app.settings import CHECKOUT, Model, Settings
from app.standin.gguf import ensure_gguf
from app.weights import STAND_IN, Weights
from app.weights.variants import load_catalogues, original_of

EXAMPLES = {
    "pirate": "Answers like a pirate.",
    "json": "Answers with a JSON object only.",
}
SLOT_WAIT_S = 10.0
FAKE_SLOTS = 16
LLAMACPP_FOLDER = "llamacpp"
"""Below the data directory: adapters as GGUF."""

P = TypeVar("P", VllmPlan, TransformersPlan, LlamaCppPlan)


class Assembly:
    """Makes the groups of `create_app`. Cards with equal weights share one engine, sized for the largest of them."""

    def __init__(
        self,
        settings: Settings,
        cards: Mapping[str, ModelCard],
        adapters: AdapterStore,
        *,
        lost: Callable[[EngineLost], object] = lambda failure: None,
    ) -> None:
        """`lost` is told of an engine that served and can't go on."""
        limits = settings.limits
        self._supervision = Supervision(
            limits.engine_stall_s, limits.engine_step_s, limits.engine_give_up_s or None, lost
        )
        self._settings = settings
        self._cards = cards
        self._adapters = adapters
        self.choices: dict[str, tuple[Choice, ...]] = {}
        """What was chosen for the machine, by the weights of the engine; there when it has started."""

    def groups(self) -> list[EngineGroup]:
        """Raises SettingsError for engine arguments that vLLM does not have or the server owns."""
        check_arguments(self._settings)
        return [self._group(models) for models in by_engine(self._settings.models)]

    def _group(self, models: list[Model]) -> EngineGroup:
        model = models[0]
        cards = tuple(self._cards[entry.name] for entry in models)
        weights = Weights(model.weights, self._settings.server.data_dir)

        def load_prompts() -> PromptBuilder:
            folder = weights.folder()
            if model.weights == STAND_IN and model.adapters:
                self._register_examples(cards[0], folder)
            builder = PromptBuilder(Tokenizer.from_folder(folder))
            reached("tokenizer")
            return builder

        @cache
        def load_base() -> BaseShape:
            return read_base(weights.folder(), base_name(model.weights))

        engine = self._engine(model, cards, weights)
        original = original_of(load_catalogues(), model.weights)
        return EngineGroup(engine, original, cards, load_prompts, load_base, model.adapters)

    def _engine(self, model: Model, cards: tuple[ModelCard, ...], weights: Weights) -> Engine:
        """Plans are made in a thread, at start and again when an engine has to be started again."""
        data_dir = self._settings.server.data_dir
        if model.engine == "fake":
            return FakeEngine(slots=model.max_adapters_resident or FAKE_SLOTS, wait_s=SLOT_WAIT_S)
        if model.engine == "llamacpp":
            return LlamaCppEngine(
                lambda: self._noted(model, llamacpp_plan(model, cards, weights, data_dir)),
                self._adapters.digests,
                wait_s=SLOT_WAIT_S,
                supervision=self._supervision,
            )
        if model.engine == "transformers":
            return TransformersEngine(
                lambda: self._noted(model, rounded_plan(model, cards, weights)),
                wait_s=SLOT_WAIT_S,
                supervision=self._supervision,
            )
        return VllmEngine(
            lambda: self._noted(model, vllm_plan(model, cards, weights.folder())),
            wait_s=SLOT_WAIT_S,
            supervision=self._supervision,
        )

    def _noted(self, model: Model, plan: P) -> P:
        self.choices[model.weights] = plan.choices
        return plan

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


def rounded_plan(model: Model, cards: tuple[ModelCard, ...], weights: Weights) -> TransformersPlan:
    """What transformers is started with. Raises StartupError when weights or memory don't suffice."""
    folder, rounding = weights.folder(), weights.rounding()
    return transformers_plan(model, folder, max_model_len=_context(cards), quantization=rounding)


def loaded_path(model: Model, weights: Weights, data_dir: Path) -> Path:
    """The folder or file that the engine loads. Raises OperatorError: missing or broken."""
    if model.engine == "llamacpp" and model.weights == STAND_IN:
        return ensure_gguf(data_dir)
    return weights.path()


def llamacpp_plan(
    model: Model, cards: tuple[ModelCard, ...], weights: Weights, data_dir: Path
) -> LlamaCppPlan:
    """What llama.cpp is started with. Raises StartupError when weights or memory don't suffice."""
    gguf = loaded_path(model, weights, data_dir)
    wishes = Wishes(model.kv_cache_gib, model.max_adapters_resident if model.adapters else 0)
    return size_plan(gguf, data_dir / LLAMACPP_FOLDER, context=_context(cards), wishes=wishes)


def _context(cards: tuple[ModelCard, ...]) -> int:
    """Tokens that the largest of the cards allows."""
    return max(card.limits.max_total_tokens for card in cards)
