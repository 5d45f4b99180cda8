"""xinference's words for a variant and an engine: --model-engine, --model-format, --quantization, --size-in-billions.

As in xinference's command line upper and lower case are one. A word that fits nothing lists those that would.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.errors import SettingsError, printable
from app.weights.variants import Catalogue, Device, Run, Variant

ENGINE_WORDS = {"vllm": "vLLM", "transformers": "Transformers", "llamacpp": "llama.cpp"}
"""How xinference calls the engines; our own names count too."""

Pair = tuple[Variant, Run]


@dataclass(frozen=True, slots=True)
class Words:
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


def by_words(catalogue: Catalogue, words: Words, device: Device) -> tuple[Variant, str]:
    """The variant and the engine. Where the words leave several, the catalogue's preference for `device` decides.

    Raises SettingsError naming the first word that leaves none, with the words that would do beside those before it.
    """
    _check_size(catalogue, words.size_in_billions)
    left = [(variant, run) for variant in catalogue.preferred(device) for run in variant.engines]
    left = _narrow(left, "--model-engine", words.engine, lambda each: _engine_word(each[1]))
    left = _narrow(left, "--model-format", words.format, lambda each: each[0].format)
    left = _narrow(left, "--quantization", words.quantization, lambda each: each[0].quantization)
    variant, run = left[0]
    return variant, run.engine


def _narrow(left: list[Pair], option: str, word: str | None, word_of: Callable[[Pair], str]) -> list[Pair]:
    if word is None:
        return left
    wanted = _same(word)
    found = [pair for pair in left if _same(word_of(pair)) == wanted]
    if not found:
        known = ", ".join(_once(word_of(pair) for pair in left))
        raise SettingsError(f"{option} {printable(word)}: expected one of {known}")
    return found


def _check_size(catalogue: Catalogue, size: str | None) -> None:
    known = f"{catalogue.size_in_billions:g}"
    if size is not None and size.strip().replace("_", ".") != known:
        raise SettingsError(f"--size-in-billions {printable(size)}: expected {known}")


def _engine_word(run: Run) -> str:
    return ENGINE_WORDS[run.engine]


def _same(word: str) -> str:
    """What makes two words one: without case, and an engine's dot (llamacpp, llama.cpp)."""
    return word.strip().casefold().replace("llama.cpp", "llamacpp")


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
