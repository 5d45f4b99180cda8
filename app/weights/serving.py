"""What `outworker serve` is to load: other weights and another engine than the settings say; pairs that can't be."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from app.errors import SettingsError
from app.settings import Model, Settings
from app.settings.check import found, model_mistakes
from app.settings.values import EngineName
from app.weights.choose import Chosen, choose
from app.weights.fits import computes_on, measure_for
from app.weights.locate import find_pulled
from app.weights.machine import Machine
from app.weights.sidecar import MODEL_FILES
from app.weights.variants import Catalogue, Variant, find_variant, load_catalogues
from app.weights.words import Words, by_words


def with_words(settings: Settings, words: Words, machine: Machine | None = None) -> tuple[Settings, str]:
    """The settings with the variant and engine that the words mean in every model, and a line that says why.

    `machine` is measured when it is not given.
    Raises SettingsError for words that mean none, StartupError when `--auto` finds none that fits.
    """
    if words.auto and words.narrows:
        raise SettingsError("--auto chooses engine, format and quantization: leave out one or the other")
    catalogue = load_catalogues()[0]
    here = machine or measure_for([catalogue])
    chosen = choose(catalogue, here, _is_pulled) if words.auto else _chosen(catalogue, words, here)
    line = f"weights {chosen.variant.id} with {chosen.engine}: {chosen.why}"
    return _replaced(settings, chosen), line


def check_pairs(settings: Settings) -> None:
    """Raise SettingsError, a line for each `[[models]]` entry whose engine can't load its weights."""
    catalogues = load_catalogues()
    lines = [
        f"{settings.source}: models[{index}].engine: {mistake}"
        for index, model in enumerate(settings.models)
        for mistake in _pair_mistakes(model, find_variant(catalogues, model.weights))
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def _pair_mistakes(model: Model, variant: Variant | None) -> Iterator[str]:
    if model.engine == "fake":
        return
    runs = variant.engines if variant is not None else ()
    engines = [run.engine for run in runs if run.refused is None]
    if Path(model.weights).suffix.lower() in MODEL_FILES:
        engines = ["llamacpp"]
    if engines and model.engine not in engines:
        expected = " or ".join(f'"{engine}"' for engine in engines)
        why = "".join(f": {run.refused}" for run in runs if run.engine == model.engine and run.refused)
        yield f"expected {expected} for the weights {found(model.weights)}, found {found(model.engine)}{why}"


def _chosen(catalogue: Catalogue, words: Words, machine: Machine) -> Chosen:
    variant, engine = by_words(catalogue, words, computes_on(machine))
    return Chosen(variant, engine, "as the command line says")


def _is_pulled(variant: Variant) -> bool:
    return find_pulled(variant) is not None


def _replaced(settings: Settings, chosen: Chosen) -> Settings:
    engine = cast(EngineName, chosen.engine)
    models = tuple(replace(model, weights=chosen.variant.id, engine=engine) for model in settings.models)
    entries: list[Mapping[str, Any]] = [asdict(model) for model in models]
    if mistakes := model_mistakes(entries):
        raise SettingsError("\n".join(f"{settings.source}: {mistake}" for mistake in mistakes))
    return replace(settings, models=models)
