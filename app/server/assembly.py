"""From settings to engine groups: which weights, which engine, what it may use. Called by `process` and `doctor`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path

from app.adapters.inspection.base_model import BaseShape, base_name, read_base
from app.adapters.store import AdapterStore
from app.catalog.cards import ModelCard
from app.engines.choices import TunedSetting
from app.engines.deployment import Deployment, EngineParts, Plan, module_of
from app.engines.engine import Engine
from app.engines.registry import ENGINES
from app.engines.supervision import Supervision
from app.engines.vllm.args import check_arguments
from app.errors import EngineLost
from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.logs import log_startup
from app.resources import resource
from app.server.application import EngineGroup
from app.settings import Model, Settings
from app.settings.values import STAND_IN
from app.weights.source import Weights
from app.weights.variants import load_catalogues, original_of

EXAMPLES = {
    "pirate": "Answers like a pirate.",
    "json": "Answers with a JSON object only.",
}
SLOT_WAIT_S = 10.0


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
        self.choices: dict[str, tuple[TunedSetting, ...]] = {}
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
            log_startup("tokenizer")
            return builder

        @cache
        def load_base() -> BaseShape:
            return read_base(weights.folder(), base_name(model.weights))

        engine = self._engine(model, cards, weights)
        original = original_of(load_catalogues(), model.weights)
        return EngineGroup(engine, original, cards, load_prompts, load_base, model.adapters)

    def _engine(self, model: Model, cards: tuple[ModelCard, ...], weights: Weights) -> Engine:
        """Plans are made in a thread, at start and again when an engine has to be started again."""
        module = module_of(ENGINES[model.engine])
        parts = EngineParts(SLOT_WAIT_S, self._supervision, self._adapters.digests)

        def make_plan() -> Plan:
            plan = module.plan(deployment(model, cards, weights, self._settings.server.data_dir))
            self.choices[model.weights] = plan.choices
            return plan

        return module.build(model, make_plan, parts)

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
                resource("adapters") / name,
                base,
                description=description,
                replace=True,  # a newer release may bring newer examples
            )


def by_engine(models: Iterable[Model]) -> Iterator[list[Model]]:
    """Entries with equal weights share an engine."""
    ordered = sorted(models, key=lambda model: model.weights)
    yield from (list(equal) for _, equal in groupby(ordered, key=lambda model: model.weights))


def deployment(model: Model, cards: Iterable[ModelCard], weights: Weights, data_dir: Path) -> Deployment:
    """What an entry's engine serves, for the largest of its cards. Raises OperatorError: weights missing or broken."""
    kind, cards = ENGINES[model.engine], tuple(cards)
    return Deployment(
        model,
        weights.loaded_by(kind) if kind.loads_weights else Path(),
        cache=data_dir / kind.name,
        max_total_tokens=max(card.limits.max_total_tokens for card in cards),
        max_prefill_tokens=max((card.max_batch_prefill_tokens or 0 for card in cards), default=0) or None,
        quantization=weights.load_quantization(),
    )
