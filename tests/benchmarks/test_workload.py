import numpy as np
import pytest

from app.standin import compact
from app.standin.expand import ensure_expanded
from app.standin.shape import EOS_ID
from benchmarks.arms import ARMS
from benchmarks.engine import order
from benchmarks.errors import BenchError
from benchmarks.load import Answer, Load
from benchmarks.weights import endless_standin
from benchmarks.workload import TOKENS, Work, card, check_equal, count, question_body

NATIVE = b'data: {"response":"","usage":{"prompt_tokens":9,"completion_tokens":64,"total_tokens":73}}\n\ndata: [DONE]\n\n'
OPENAI = b'data: {"choices":[],"usage":{"prompt_tokens": 9, "total_tokens": 73, "completion_tokens": 64}}\n\n'


def test_tokens_are_counted_from_either_dialects_usage() -> None:
    work = count(Load(2.0, [Answer(200, NATIVE), Answer(200, OPENAI)]))
    assert work == Work(requests=2, prompt_tokens=18, tokens=128, seconds=2.0)


def test_a_stream_without_usage_is_an_error() -> None:
    with pytest.raises(BenchError, match="a stream without prompt_tokens: it ends with data: x"):
        count(Load(1.0, [Answer(200, b"data: x")]))


def test_unequal_work_is_an_error() -> None:
    full = Work(2, 18, 2 * TOKENS, 1.0)
    check_equal([full, full, Work(4, 30, 4 * TOKENS, 1.0)])
    with pytest.raises(BenchError, match="127 tokens"):
        check_equal([full, Work(2, 18, 2 * TOKENS - 1, 1.0)])
    with pytest.raises(BenchError, match="different prompt tokens"):
        check_equal([full, Work(2, 20, 2 * TOKENS, 1.0)])


def test_the_body_is_one_that_our_card_accepts() -> None:
    assert card().input.check(question_body("Why?")).name == "messages"


def test_every_server_has_one_mean_place_in_the_order_of_starts() -> None:
    starts = [arm.name for arm in order(ARMS)]
    places = {
        name: np.mean([place for place, other in enumerate(starts) if other == name]) for name in set(starts)
    }
    assert len(places) == len(ARMS)
    assert set(places.values()) == {len(ARMS) - 1}


def test_the_endless_stand_in_differs_in_the_row_of_the_end_token_alone(tmp_path) -> None:
    endless = endless_standin(tmp_path)
    usual = ensure_expanded(tmp_path)
    changed = compact_rows(endless) != compact_rows(usual)
    assert np.flatnonzero(changed.any(axis=1)).tolist() == [EOS_ID]
    assert {path.name for path in endless.iterdir()} == {path.name for path in usual.iterdir()}


def compact_rows(folder) -> np.ndarray:
    from safetensors import deserialize

    tensor = dict(deserialize((folder / "model.safetensors").read_bytes()))[compact.EMBEDDING]
    return np.frombuffer(tensor["data"], np.uint16).reshape(tensor["shape"])
