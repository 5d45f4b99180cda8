"""What `outworker serve` is to load: other weights and another engine than the settings say; pairs that can't be.

`LaunchOptions` has xinference's options: --model-engine, --model-format, --quantization, --size-in-billions. As in
xinference's command line upper and lower case are one. A word that fits nothing lists those that would.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from app.engines.registry import ENGINES, weights_engines
from app.errors import SettingsError, printable
from app.program import program
from app.settings import Model, Settings
from app.settings.check import found, model_mistakes
from app.settings.values import STAND_IN
from app.weights.fit import Chosen, choose, computes_on, lacking, measure_for, missing, obstacles, refusals
from app.weights.machine import Machine
from app.weights.single_file import MODEL_FILES
from app.weights.variants import Catalogue, Run, Variant, find_variant, load_catalogues

Pair = tuple[Variant, Run]

REPOSITORY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What was typed; None is not given. `auto` leaves the choice to the machine."""

    engine: str | None = None
    format: str | None = None
    quantization: str | None = None
    size_in_billions: str | None = None
    auto: bool = False

    @property
    def any(self) -> bool:
        return self.auto or self.narrows

    @property
    def narrows(self) -> bool:
        return any((self.engine, self.format, self.quantization, self.size_in_billions))


def by_options(catalogues: Sequence[Catalogue], options: LaunchOptions) -> list[Pair]:
    """The variants with the engines that the options leave, in the order of the data.

    Raises SettingsError naming the first word that leaves none, with the options that would do beside those before it.
    """
    variants = chain.from_iterable(each.variants for each in _of_size(catalogues, options))
    left = [(variant, run) for variant in variants for run in variant.engines]
    left = _narrow(left, "--model-engine", options.engine, lambda each: _engine_word(each[1]))
    left = _narrow(left, "--model-format", options.format, lambda each: each[0].format)
    return _narrow(left, "--quantization", options.quantization, lambda each: each[0].quantization)


def _narrow(left: list[Pair], option: str, word: str | None, word_of: Callable[[Pair], str]) -> list[Pair]:
    if word is None:
        return left
    wanted = _same(word)
    found = [pair for pair in left if _same(word_of(pair)) == wanted]
    if not found:
        known = ", ".join(_once(word_of(pair) for pair in left))
        raise SettingsError(f"{option} {printable(word)}: expected one of {known}")
    return found


def _of_size(catalogues: Sequence[Catalogue], options: LaunchOptions) -> list[Catalogue]:
    size = options.size_in_billions
    if size is None:
        return list(catalogues)
    found = [each for each in catalogues if f"{each.size_in_billions:g}" == size.strip().replace("_", ".")]
    if not found:
        known = ", ".join(_once(f"{each.size_in_billions:g}" for each in catalogues))
        raise SettingsError(f"--size-in-billions {printable(size)}: expected {known}")
    return found


def _engine_word(run: Run) -> str:
    return ENGINES[run.engine].title


def _same(word: str) -> str:
    """What makes two options one: without case, and an engine's dot (llamacpp, llama.cpp)."""
    return word.strip().casefold().replace("llama.cpp", "llamacpp")


def _once(options: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(options))


def with_options(
    settings: Settings, options: LaunchOptions, machine: Machine | None = None
) -> tuple[Settings, str]:
    """The settings with the variant and engine that the options mean in every entry of the model that they are about,
    and a line that says why. Entries of other models stay as they are.

    `machine` is measured when it is not given and the options leave something to choose.
    Raises SettingsError for options that mean none, StartupError when `--auto` finds none that fits.
    """
    if options.auto and options.narrows:
        raise SettingsError("--auto chooses engine, format and quantization: leave out one or the other")
    catalogues, data_dir = load_catalogues(), settings.server.data_dir

    def here() -> Machine:
        return machine or measure_for(catalogues, data_dir)

    meant = _meant(catalogues, options, settings)
    chosen: dict[str, Chosen] = {}
    for catalogue in meant:
        if options.auto:
            choice = choose([catalogue], here(), lambda variant: missing(variant, data_dir))
        else:
            choice = _chosen([catalogue], options, here)
            _refuse(choice, machine or measure_for(catalogues, data_dir, gpus=False))
        chosen |= {model.name: choice for model in settings.models if _is_about(catalogue, model)}
    return _replaced(settings, chosen), "; ".join(_lines(settings, chosen))


def _meant(catalogues: Sequence[Catalogue], options: LaunchOptions, settings: Settings) -> list[Catalogue]:
    """Those of which the settings have an entry and the options leave a variant. Raises SettingsError when none is
    left.
    """
    by_options(catalogues, options)  # options that mean nothing at all are refused as such
    served = [each for each in catalogues if any(_is_about(each, model) for model in settings.models)]
    if not served:
        known = ", ".join(each.original for each in catalogues)
        raise SettingsError(
            f"{settings.source}: no [[models]] entry is of a model that the options are for ({known}): "
            "set weights and engine in the entry"
        )
    meant = [each for each in served if _leaves_some(each, options)]
    return meant or served[:1]  # whose refusal names the word


def _leaves_some(catalogue: Catalogue, options: LaunchOptions) -> bool:
    try:
        return bool(by_options([catalogue], options))
    except SettingsError:
        return False


def _is_about(catalogue: Catalogue, model: Model) -> bool:
    """Whether an entry serves the catalogue's model: its weights are one of the forms, or, for a card of the model, the
    stand-in or the operator's own file or folder. A repository of another model is another model."""
    if catalogue.has_form(model.weights):
        return True
    return model.name in catalogue.cards and REPOSITORY.fullmatch(model.weights) is None


def _lines(settings: Settings, chosen: Mapping[str, Chosen]) -> Iterator[str]:
    for choice in {each.variant.id: each for each in chosen.values()}.values():
        yield f"weights {choice.variant.id} with {choice.engine}: {choice.why}"
    for model in settings.models:
        if model.name not in chosen:
            yield f"{model.name} keeps {model.weights}"


def check_pairs(settings: Settings, machine: Machine | None = None) -> None:
    """Raise SettingsError, a line for each `[[models]]` entry whose engine can't load its weights, or can't compute here.

    `machine` is looked at when it is not given, though not for GPUs.
    """
    catalogues = load_catalogues()
    here = machine or measure_for(catalogues, settings.server.data_dir, gpus=False)
    lines = [
        f"{settings.source}: models[{index}].engine: {mistake}"
        for index, model in enumerate(settings.models)
        for mistake in _pair_mistakes(model, find_variant(catalogues, model.weights), here)
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def _pair_mistakes(model: Model, variant: Variant | None, machine: Machine) -> Iterator[str]:
    if not ENGINES[model.engine].loads_weights:
        return
    expected, why = _expected(model, variant, machine)
    if model.engine not in expected:
        engines = " or ".join(f'"{engine}"' for engine in expected)
        yield f"expected {engines} for the weights {found(model.weights)}, found {found(model.engine)}{why}"
    elif (sentence := lacking(model.engine, machine)) and _on_cpu(model.engine, machine):
        yield f"{sentence}: expected another engine, or another machine"


def _expected(model: Model, variant: Variant | None, machine: Machine) -> tuple[list[str], str]:
    """The engines that can load the weights, and why not the model's own."""
    if variant is not None:
        against = {run.engine: list(refusals(run, machine)) for run in variant.engines}
        why = "".join(f": {refusal}" for refusal in against.get(model.engine, ())[:1])
        return [engine for engine, refused in against.items() if not refused], why
    if Path(model.weights).suffix.lower() in MODEL_FILES:
        return [kind.name for kind in weights_engines() if kind.one_file], ""
    if model.weights == STAND_IN:
        return [kind.name for kind in weights_engines()], ""
    why = (
        f": llama.cpp loads one .gguf or .llamafile file, such as `{program()} weights pull gguf-Q4_K_M` gets"
    )
    return [kind.name for kind in weights_engines() if not kind.one_file], why


def _on_cpu(engine: str, machine: Machine) -> bool:
    """Whether the engine, as it is installed, computes on the processor; one whose package does not say counts so."""
    devices = ENGINES[engine].devices
    here = {device for name, device in devices.items() if name in machine.packages}
    return "gpu" not in devices.values() or "cpu" in here


def _chosen(catalogues: Sequence[Catalogue], options: LaunchOptions, here: Callable[[], Machine]) -> Chosen:
    """Of several that the options leave the most preferred one that can compute here."""
    left = by_options(catalogues, options)
    if len(left) > 1:
        machine = here()
        device = computes_on(machine)
        order = [variant.id for each in catalogues for variant in each.preferred(device)]
        left.sort(key=lambda pair: (len(obstacles(pair[1], machine)), order.index(pair[0].id)))
    variant, run = left[0]
    return Chosen(variant, run.engine, "as the command line says")


def _refuse(chosen: Chosen, machine: Machine) -> None:
    """Raise SettingsError, in the words of the command line, when the engine can't load the variant here."""
    against = {run.engine: list(refusals(run, machine)) for run in chosen.variant.engines}
    for refusal in against[chosen.engine]:
        others = [ENGINES[engine].title for engine, refused in against.items() if not refused]
        hint = f": expected --model-engine {' or '.join(others)}" if others else ""
        raise SettingsError(f"{chosen.variant.id} with {chosen.engine}: {refusal}{hint}")


def _replaced(settings: Settings, chosen: Mapping[str, Chosen]) -> Settings:
    models = tuple(
        replace(
            model,
            weights=chosen[model.name].variant.id,
            engine=chosen[model.name].engine,
        )
        if model.name in chosen
        else model
        for model in settings.models
    )
    entries: list[Mapping[str, Any]] = [asdict(model) for model in models]
    if mistakes := model_mistakes(entries):
        raise SettingsError("\n".join(f"{settings.source}: {mistake}" for mistake in mistakes))
    return replace(settings, models=models)
