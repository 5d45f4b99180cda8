from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.catalog.cards import load_cards
from app.inference.sampling import TABLE, published_defaults, sampling_of
from app.types import Sampling

ROOT = Path(__file__).parents[2]
FIELDS = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "seed"),
        *("repetition_penalty", "frequency_penalty", "presence_penalty"),
    }
)


def of(**body: Any) -> Sampling:
    return sampling_of({"prompt": "a"} | body, FIELDS)


def test_document_shows_the_table() -> None:
    lines = iter((ROOT / "docs" / "sampling.md").read_text().splitlines())
    table = takewhile(bool, dropwhile(lambda line: not line.startswith("| field |"), lines))
    rows = [line for line in table if line.startswith("| ")][1:]
    assert rows == [f"| {row.field} | {row.published} | {row.engine} | {row.decision} |" for row in TABLE]


def test_the_table_has_every_field_that_is_cast_or_mapped() -> None:
    assert {row.field for row in TABLE} == FIELDS | {"any integer", "raw"}


def test_the_table_has_the_published_ranges() -> None:
    for card in load_cards(ROOT / "schemas").values():
        for branch in card.input.branches:
            for row in TABLE:
                rules = branch.node.properties[row.field].schema if row.field in FIELDS else {}
                if "minimum" in rules:
                    assert f"{rules['minimum']}..{rules['maximum']}" in row.published


def test_omitted() -> None:
    assert of() == Sampling(
        max_tokens=256,
        temperature=0.6,
        top_p=1.0,
        top_k=0,
        seed=None,
        repetition_penalty=1.0,
        frequency_penalty=0.0,
        presence_penalty=0.0,
    )


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_null_is_omitted(name: str) -> None:
    assert of(**{name: None}) == of()


def test_given() -> None:
    given = of(
        max_tokens=5.0,
        temperature=5,
        top_p=0.5,
        top_k=50.0,
        seed=9999999999,
        repetition_penalty=2,
        frequency_penalty=-2,
        presence_penalty=0.5,
    )
    assert given == Sampling(5, 5.0, 0.5, 50, 9999999999, 2.0, -2.0, 0.5)
    assert [type(value) for value in (given.max_tokens, given.top_k, given.seed)] == [int, int, int]
    assert type(given.temperature) is float


@pytest.mark.parametrize("top_p", [0, 0.0, -0.0, 1e-300])
def test_top_p_of_nothing_keeps_the_top_token(top_p: float) -> None:
    sampling = of(top_p=top_p, top_k=40)
    assert (sampling.top_p, sampling.top_k) == (1.0, 1)


@pytest.mark.parametrize(("top_p", "mapped"), [(1, 1.0), (1.5, 1.0), (2, 1.0), (0.001, 0.001)])
def test_top_p_above_1_is_1(top_p: float, mapped: float) -> None:
    sampling = of(top_p=top_p)
    assert (sampling.top_p, sampling.top_k) == (mapped, 0)


@pytest.mark.parametrize(("penalty", "mapped"), [(0, 1.0), (0.0, 1.0), (0.5, 0.5), (1e-300, 1e-6)])
def test_repetition_penalty_0_is_off(penalty: float, mapped: float) -> None:
    assert of(repetition_penalty=penalty).repetition_penalty == mapped


@pytest.mark.parametrize("temperature", [0, 0.6, 2, 2.5, 5, 0.1 + 0.2])
def test_temperature_is_exact(temperature: float) -> None:
    assert of(temperature=temperature).temperature == temperature


def test_what_the_branch_does_not_type_is_ignored() -> None:
    assert sampling_of({"top_k": "many", "seed": {}}, frozenset({"temperature"})) == of()


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 5),
            "top_p": st.floats(0, 2),
            "top_k": st.integers(1, 50),
            "repetition_penalty": st.floats(0, 2),
        },
    )
)
def test_always_in_the_engines_domain(body: dict[str, Any]) -> None:
    sampling = of(**body)
    assert 0 <= sampling.temperature <= 5
    assert 0 < sampling.top_p <= 1
    assert 0 <= sampling.top_k <= 50
    assert 0 < sampling.repetition_penalty <= 2


def test_the_published_defaults_are_what_an_empty_body_means() -> None:
    meant = sampling_of({}, FIELDS)
    assert published_defaults() == {
        name: getattr(meant, name) for name in FIELDS if name not in ("seed", "top_k")
    }
    assert sampling_of(published_defaults(), FIELDS) == meant
