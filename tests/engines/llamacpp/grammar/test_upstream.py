"""Why `xllamacpp.json_schema_to_grammar` does not take the place of our grammars: schemas that it still fails.

When one of these tests fails, it has been mended: look at `make bench ARGS=grammar` again.
"""

from pathlib import Path

import pytest

from benchmarks.grammar import outcome_of
from benchmarks.grammar_child import Llama, ours, theirs
from tests.inference.corpus import load

SEEDS = (1, 2, 3)
MAX_TOKENS = 128
SCHEMAS = {case.name: case.schema for case in load()}


@pytest.fixture(scope="module")
def llama(gguf: Path) -> Llama:
    return Llama(gguf)


def test_it_hands_the_schema_on_as_it_is() -> None:
    assert theirs({"type": "boolean"}) == '%llguidance {}\nstart: %json {"type":"boolean"}'


@pytest.mark.parametrize(
    "name",
    [
        "zod string_max",  # {"string _max": …}: a token's own space is not counted
        "zod literal",  # " on" for "on", likewise
        "keywords not const",  # llguidance can't read `not`: the answer is free text, without an error
    ],
)
def test_it_fails_where_ours_holds(llama: Llama, name: str) -> None:
    schema = SCHEMAS[name]
    upstream, own = theirs(schema), ours(schema)
    assert {outcome_of(schema, llama.answer(own, seed, MAX_TOKENS)) for seed in SEEDS} == {"valid"}
    assert {outcome_of(schema, llama.answer(upstream, seed, MAX_TOKENS)) for seed in SEEDS} != {"valid"}
