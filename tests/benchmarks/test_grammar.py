from pathlib import Path

import pytest

from app.inference.constrained.schema_limits import check_schema
from app.standin.gguf import ensure_gguf
from benchmarks.grammar import Helper, outcome_of
from benchmarks.grammar_child import Answer, Question
from benchmarks.hard_schemas import hard_schemas

TRUTH = {"type": "boolean"}


@pytest.mark.parametrize(
    ("text", "reason", "error", "outcome"),
    [
        ("true", "stop", None, "valid"),
        (" false", "stop", None, "valid"),
        ('"true"', "stop", None, "wrong"),
        ("tr", "stop", None, "no JSON"),
        ("true", "length", None, "cut"),
        ("", None, "no such rule", "refused"),
    ],
)
def test_what_becomes_of_an_answer(text: str, reason: str | None, error: str | None, outcome: str) -> None:
    assert outcome_of(TRUTH, Answer(text, 1, 1.0, reason, error)) == outcome


@pytest.mark.parametrize("name", hard_schemas())
def test_hard_schemas_are_let_through(name: str) -> None:
    check_schema(("response_format", "json_schema"), hard_schemas()[name])


def test_a_helper_that_is_killed_is_followed_by_another(tmp_path: Path) -> None:
    with Helper("ours", ensure_gguf(tmp_path), tmp_path / "log") as helper:
        first = helper.ask(Question(TRUTH, 2, 16))
        assert first is not None
        assert [outcome_of(TRUTH, answer) for answer in first.answers] == ["valid", "valid"]
        assert helper._child is not None
        helper._child.process.kill()
        helper._child.process.wait(20)
        assert helper.ask(Question(TRUTH, 1, 16)) is None
        again = helper.ask(Question(False, 1, 16))
        assert again is not None
        assert again.refusal is not None
        assert "allows no value" in again.refusal
