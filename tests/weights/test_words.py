"""xinference's words: every command line of its card means a variant and an engine; wrong words list the right ones."""

from collections.abc import Callable

import pytest

from app.errors import SettingsError
from app.weights.variants import load_catalogues
from app.weights.words import Words, by_words

CATALOGUE = load_catalogues()[0]
GGUF_WORDS = [v.quantization for v in CATALOGUE.variants if v.format == "ggufv2"]

CARD = [
    ("vLLM", "pytorch", "none", "pytorch", "vllm"),
    ("Transformers", "pytorch", "none", "pytorch", "transformers"),
    ("Transformers", "pytorch", "8-bit", "pytorch-8-bit", "transformers"),
    ("Transformers", "pytorch", "4-bit", "pytorch-4-bit", "transformers"),
    ("vLLM", "gptq", "Int4", "gptq-main", "vllm"),
    ("Transformers", "gptq", "Int4", "gptq-main", "transformers"),
    ("vLLM", "awq", "Int4", "awq", "vllm"),
    ("Transformers", "awq", "Int4", "awq", "transformers"),
    *(("llama.cpp", "ggufv2", word, f"gguf-{word}", "llamacpp") for word in GGUF_WORDS),
    *(("llama.cpp", "llamafile", word, f"llamafile-{word}", "llamacpp") for word in GGUF_WORDS),
]


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
@pytest.mark.parametrize(("engine", "form", "quantization", "variant", "ours"), CARD)
def test_every_line_of_the_card(
    *, engine: str, form: str, quantization: str, variant: str, ours: str, change: Callable[[str], str]
) -> None:
    words = Words(change(engine), change(form), change(quantization), "7")
    found, chosen_engine = by_words(CATALOGUE, words, "cpu")
    assert (found.id, chosen_engine) == (variant, ours)


def test_words_that_are_left_out_follow_the_preference() -> None:
    assert by_words(CATALOGUE, Words(engine="llama.cpp"), "cpu")[0].id == "gguf-Q5_K_M"
    assert by_words(CATALOGUE, Words(engine="llamacpp", quantization="q8_0"), "cpu")[0].id == "gguf-Q8_0"
    assert by_words(CATALOGUE, Words(quantization="8-bit"), "gpu")[1] == "transformers"
    assert by_words(CATALOGUE, Words(size_in_billions="7"), "gpu")[0].id == "pytorch"
    assert by_words(CATALOGUE, Words(format="gptq"), "gpu")[0].id == "gptq-gptq-8bit--1g-actorder_True"


def test_branches_are_words_too() -> None:
    words = Words("vLLM", "gptq", "gptq-4bit-64g-actorder_true")
    assert by_words(CATALOGUE, words, "gpu")[0].id == "gptq-gptq-4bit-64g-actorder_True"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Words(engine="SGLang"), "--model-engine SGLang: expected one of llama.cpp, vLLM, Transformers"),
        (Words(format="mlx"), "--model-format mlx: expected one of ggufv2, llamafile, pytorch, awq, gptq"),
        (Words("vLLM", "ggufv2"), "--model-format ggufv2: expected one of pytorch, awq, gptq"),
        (Words("vLLM", "pytorch", "4-bit"), "--quantization 4-bit: expected one of none"),
        (Words("Transformers", "awq", "Int8"), "--quantization Int8: expected one of Int4"),
        (Words(size_in_billions="70"), "--size-in-billions 70: expected 7"),
        (Words(format="a\nb"), "--model-format ab: expected one of ggufv2, llamafile, pytorch, awq, gptq"),
    ],
)
def test_a_wrong_word_lists_the_possible_ones(words: Words, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        by_words(CATALOGUE, words, "cpu")
    assert str(caught.value) == expected


def test_whether_anything_was_said() -> None:
    assert not Words().any
    assert Words(auto=True).any
    assert Words(engine="vllm").any
