from pathlib import Path

import numpy as np
import pytest

from app.inference.prompt import PromptBuilder
from app.inference.tokenizer import Tokenizer
from app.standin import compact
from app.standin.expand import ensure_expanded
from app.standin.shape import EOS_ID
from benchmarks.errors import BenchError
from benchmarks.weights import endless_standin
from benchmarks.workload import (
    ADAPTERS,
    CASES,
    Ask,
    Job,
    Prompts,
    Stream,
    Work,
    body_of,
    card,
    check_job,
    check_texts,
    check_work,
    token_ids,
)

BASE, MIXED = CASES[0], CASES[1]


def done(prompt_tokens: int, tokens: int) -> Work:
    return Work(1.0, [Stream(prompt_tokens, tokens, "a", 0.1, [])])


def test_prompts_have_exactly_the_tokens_that_were_wanted_and_begin_differently(standin_folder: Path) -> None:
    prompts, builder = Prompts(standin_folder), PromptBuilder(Tokenizer.from_folder(standin_folder))
    for tokens in (32, 1024):
        texts = [prompts.text(tokens) for _ in range(20)]
        assert {len(token_ids(builder, text)) for text in texts} == {tokens}
        assert len({tuple(text.split()[:3]) for text in texts}) == len(texts)


def test_a_job_has_its_share_for_every_client_and_each_adapter_in_turn(standin_folder: Path) -> None:
    job = Prompts(standin_folder).job(MIXED, 16)
    assert len(job.asks) == 16 * MIXED.rounds[16]
    assert [ask.adapter for ask in job.asks[:4]] == [*ADAPTERS, ADAPTERS[0]]


def test_every_case_is_loaded_by_many_clients_and_by_one() -> None:
    assert {tuple(case.rounds) for case in CASES[:-1]} == {(1, 16, 64)}
    assert tuple(CASES[-1].rounds) == (1, 16)
    assert {(case.prompt_tokens, case.max_tokens) for case in CASES} == {(32, 64), (1024, 16)}


def test_unequal_work_is_an_error() -> None:
    check_work("ours", BASE, done(32, 64))
    for work in (done(32, 63), done(33, 64)):
        with pytest.raises(BenchError, match=r"ours, 32 in, 64 out, base: \(prompt, answer\) tokens were"):
            check_work("ours", BASE, work)


def test_unequal_answers_are_an_error_that_names_the_question() -> None:
    answers = [f"answer {number}" for number in range(len(check_job().asks))]
    check_texts({"ours": answers, "vLLM": list(answers)})
    wanted = "unequal greedy answers of the base to 'What is Outworker[?]': ours 'answer 0', vLLM 'another'"
    with pytest.raises(BenchError, match=wanted):
        check_texts({"ours": answers, "vLLM": ["another", *answers[1:]]})


def test_the_body_is_one_that_our_card_accepts() -> None:
    body = body_of(Ask("Why?"), Job([], clients=1, max_tokens=5, temperature=0.0))
    assert card().input.check(body).name == "messages"


def test_the_endless_stand_in_differs_in_the_row_of_the_end_token_alone(tmp_path: Path) -> None:
    endless = endless_standin(tmp_path)
    usual = ensure_expanded(tmp_path)
    changed = compact_rows(endless) != compact_rows(usual)
    assert np.flatnonzero(changed.any(axis=1)).tolist() == [EOS_ID]
    assert {path.name for path in endless.iterdir()} == {path.name for path in usual.iterdir()}


def compact_rows(folder: Path) -> np.ndarray:
    from safetensors import deserialize

    tensor = dict(deserialize((folder / "model.safetensors").read_bytes()))[compact.EMBEDDING]
    return np.frombuffer(tensor["data"], np.uint16).reshape(tensor["shape"])
