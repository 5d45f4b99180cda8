"""xinference's options for a variant and an engine: --model-engine, --model-format, --quantization, --size-in-billions.

As in xinference's command line upper and lower case are one. A word that fits nothing lists those that would.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from app.engines.registry import ENGINES
from app.errors import SettingsError, printable
from app.weights.variants import Catalogue, Run, Variant

Pair = tuple[Variant, Run]


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
