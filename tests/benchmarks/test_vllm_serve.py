from dataclasses import replace
from pathlib import Path

from benchmarks.arms import Address
from benchmarks.vllm_serve import FIGURES, Opinion, arguments, sheet

PLAIN = Address("http://127.0.0.1:5", "/chat/completions", "base")


def test_the_arguments_say_whom_to_ask_and_for_how_much() -> None:
    given = list(arguments(PLAIN, Path("/weights"), 3))
    values = dict(zip(given[::2], given[1::2], strict=False))
    assert (values["--base-url"], values["--endpoint"], values["--model"]) == (
        PLAIN.url,
        PLAIN.path,
        PLAIN.model,
    )
    assert (values["--random-input-len"], values["--random-output-len"], values["--seed"]) == (
        "32",
        "64",
        "3",
    )
    assert "--ignore-eos" in given
    assert "--header" not in given


def test_a_token_is_a_header() -> None:
    given = list(arguments(replace(PLAIN, token="secret"), Path("/weights"), 3))
    assert given[-2:] == ["--header", "Authorization=Bearer secret"]


def test_a_run_is_a_row() -> None:
    table = sheet([Opinion("ours", 1.0, 2.0, 3.0, 4.0, 5.0)])
    assert table.rows == [("ours", "1.0", "2.0", "3.0", "4.0", "5.0")]
    assert len(table.columns) == len(FIGURES) + 1
