"""xinference's words: every command line of its card means a variant and an engine; wrong words list the right ones."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.errors import SettingsError
from app.weights.selection import LaunchOptions, by_options
from app.weights.variants import load_catalogues

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
    words = LaunchOptions(change(engine), change(form), change(quantization), "7")
    [(found, run)] = by_options(CATALOGUES, words)
    assert (found.id, run.engine) == (variant, ours)


def test_words_that_are_left_out_leave_several() -> None:
    left = by_options(CATALOGUES, LaunchOptions(quantization="Q8_0"))
    assert [(variant.id, run.engine) for variant, run in left] == [
        ("gguf-Q8_0", "llamacpp"),
        ("llamafile-Q8_0", "llamacpp"),
    ]
    everything = sum(len(variant.engines) for variant in CATALOGUES[0].variants)
    assert len(by_options(CATALOGUES, LaunchOptions(size_in_billions="7"))) == everything


def test_another_file_is_another_models() -> None:
    other = replace(CATALOGUES[0], size_in_billions=70, variants=CATALOGUES[0].variants[:1])
    both = (*CATALOGUES, other)
    assert len(by_options(both, LaunchOptions("vLLM", "pytorch"))) == 2
    assert len(by_options(both, LaunchOptions("vLLM", "pytorch", size_in_billions="70"))) == 1
    with pytest.raises(SettingsError, match="--size-in-billions 8: expected 7, 70"):
        by_options(both, LaunchOptions(size_in_billions="8"))


def test_branches_are_words_too() -> None:
    words = LaunchOptions("vLLM", "gptq", "gptq-4bit-64g-actorder_true")
    assert by_options(CATALOGUES, words)[0][0].id == "gptq-gptq-4bit-64g-actorder_True"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            LaunchOptions(engine="SGLang"),
            "--model-engine SGLang: expected one of vLLM, Transformers, llama.cpp",
        ),
        (
            LaunchOptions(format="mlx"),
            "--model-format mlx: expected one of pytorch, gptq, awq, ggufv2, llamafile",
        ),
        (LaunchOptions("vLLM", "ggufv2"), "--model-format ggufv2: expected one of pytorch, gptq, awq"),
        (LaunchOptions("vLLM", "pytorch", "4-bit"), "--quantization 4-bit: expected one of none"),
        (LaunchOptions("Transformers", "awq", "Int8"), "--quantization Int8: expected one of Int4"),
        (LaunchOptions(size_in_billions="70"), "--size-in-billions 70: expected 7"),
        (
            LaunchOptions(format="a\nb"),
            "--model-format ab: expected one of pytorch, gptq, awq, ggufv2, llamafile",
        ),
    ],
)
def test_a_wrong_word_lists_the_possible_ones(words: LaunchOptions, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        by_options(CATALOGUES, words)
    assert str(caught.value) == expected


def test_whether_anything_was_said() -> None:
    assert not LaunchOptions().any
    assert LaunchOptions(auto=True).any
    assert LaunchOptions(engine="vllm").any
