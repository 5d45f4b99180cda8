"""app/settings/near.py: what a person may have meant, and silence where nothing is near."""

import pytest

from app.settings.check import did_you_mean
from app.settings.near import nearest, slips
from app.weights.variants import load_catalogues, variant_ids

VARIANTS = variant_ids(load_catalogues())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *((name.lower(), name) for name in VARIANTS),
        *((name.upper(), name) for name in VARIANTS),
        ("gguf-Q4KM", "gguf-Q4_K_M"),
        ("gguf_q4_k_m", "gguf-Q4_K_M"),
        ("ggfu-Q4_K_M", "gguf-Q4_K_M"),
        (" awq ", "awq"),
        ("awk", "awq"),
        ("pytorh", "pytorch"),
        ("pytorch-8bit", "pytorch-8-bit"),
    ],
)
def test_what_is_near(typed: str, meant: str) -> None:
    assert nearest(typed, VARIANTS) == (meant,)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Q4_K_M", ("gguf-Q4_K_M", "llamafile-Q4_K_M")),
        ("gguf-q4_k", ("gguf-Q4_K_S", "gguf-Q4_K_M")),
        ("llamafile-q5_k", ("llamafile-Q5_K_S", "llamafile-Q5_K_M")),
    ],
)
def test_a_part_of_several(typed: str, meant: tuple[str, ...]) -> None:
    assert nearest(typed, VARIANTS) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "a",
        "x",
        "gemma",
        "llama-3",
        "mistral",
        "qwen2.5",
        "int",
        "nf4",
        "mlx-4bit",
        "/models/a.gguf",
        "q" * 5000,
    ],
)
def test_what_is_near_nothing(typed: str) -> None:
    assert nearest(typed, VARIANTS) == ()
    assert did_you_mean(typed, VARIANTS) == ""


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("", "", 0),
        ("", "ab", 2),
        ("prot", "port", 1),
        ("awk", "awq", 1),
        ("abc", "abcd", 1),
        ("kitten", "sitting", 3),
    ],
)
def test_slips(first: str, second: str, count: int) -> None:
    assert slips(first, second) == slips(second, first) == count
