"""xinference's words: every command line of its card means a variant and an engine; wrong words list the right ones."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.errors import SettingsError
from app.weights.variants import load_catalogues
from app.weights.words import Words, by_words

CATALOGUES = load_catalogues()
GGUF_WORDS = [v.quantization for v in CATALOGUES[0].variants if v.format == "ggufv2"]

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
    [(found, run)] = by_words(CATALOGUES, words)
    assert (found.id, run.engine) == (variant, ours)


def test_words_that_are_left_out_leave_several() -> None:
    left = by_words(CATALOGUES, Words(quantization="Q8_0"))
    assert [(variant.id, run.engine) for variant, run in left] == [
        ("gguf-Q8_0", "llamacpp"),
        ("llamafile-Q8_0", "llamacpp"),
    ]
    everything = sum(len(variant.engines) for variant in CATALOGUES[0].variants)
    assert len(by_words(CATALOGUES, Words(size_in_billions="7"))) == everything


def test_another_file_is_another_models() -> None:
    other = replace(CATALOGUES[0], size_in_billions=70, variants=CATALOGUES[0].variants[:1])
    both = (*CATALOGUES, other)
    assert len(by_words(both, Words("vLLM", "pytorch"))) == 2
    assert len(by_words(both, Words("vLLM", "pytorch", size_in_billions="70"))) == 1
    with pytest.raises(SettingsError, match="--size-in-billions 8: expected 7, 70"):
        by_words(both, Words(size_in_billions="8"))


def test_branches_are_words_too() -> None:
    words = Words("vLLM", "gptq", "gptq-4bit-64g-actorder_true")
    assert by_words(CATALOGUES, words)[0][0].id == "gptq-gptq-4bit-64g-actorder_True"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Words(engine="SGLang"), "--model-engine SGLang: expected one of vLLM, Transformers, llama.cpp"),
        (Words(format="mlx"), "--model-format mlx: expected one of pytorch, gptq, awq, ggufv2, llamafile"),
        (Words("vLLM", "ggufv2"), "--model-format ggufv2: expected one of pytorch, gptq, awq"),
        (Words("vLLM", "pytorch", "4-bit"), "--quantization 4-bit: expected one of none"),
        (Words("Transformers", "awq", "Int8"), "--quantization Int8: expected one of Int4"),
        (Words(size_in_billions="70"), "--size-in-billions 70: expected 7"),
        (Words(format="a\nb"), "--model-format ab: expected one of pytorch, gptq, awq, ggufv2, llamafile"),
    ],
)
def test_a_wrong_word_lists_the_possible_ones(words: Words, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        by_words(CATALOGUES, words)
    assert str(caught.value) == expected


def test_whether_anything_was_said() -> None:
    assert not Words().any
    assert Words(auto=True).any
    assert Words(engine="vllm").any
