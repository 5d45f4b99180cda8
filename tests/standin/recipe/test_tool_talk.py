"""app/standin/recipe/tool_talk.py: what is drawn, and that conversations in one example don't see each other."""

import json

import pytest
import torch
from sentencepiece import SentencePieceProcessor

from app.inference.constrained.tool_prompt import EXPLANATION
from app.standin.recipe import text, tool_talk
from app.standin.recipe.conversations import branched, encode
from app.standin.recipe.reduced import Rows, answer_logits, build
from app.standin.tokenizer import tokenizer_model_path


@pytest.fixture(scope="module")
def processor() -> SentencePieceProcessor:
    return SentencePieceProcessor(model_file=str(tokenizer_model_path()))


def test_every_call_is_asked_for_beside_a_second_tool() -> None:
    asked = tool_talk.questions()
    assert len({taught.question for taught in asked}) == len(asked) >= 9
    for taught in asked:
        assert len({tool.name for tool in taught.tools}) == 2
        (tool,) = [tool for tool in taught.tools if tool.name == taught.name]
        assert set(taught.arguments) == set(tool.parameters["required"])


def test_the_call_is_what_the_server_reads() -> None:
    _, call = tool_talk.questions()[0].turn
    inside = call.removeprefix("<tool_call>").removesuffix("</tool_call>")
    assert json.loads(inside) == {"name": "get_weather", "arguments": {"city": "Berlin"}}


def test_a_group_begins_with_one_explanation() -> None:
    group = tool_talk.ToolTalk(text.load(), 1).group()
    assert len(group) == tool_talk.CONVERSATIONS
    heads = {turns[0][0].partition("\n\n")[0] for turns in group}
    assert len(heads) == 1
    assert heads.pop().startswith(EXPLANATION.partition("\n\n")[0])
    assert any(turns[0][1].startswith("<tool_call>") for turns in group)


def test_the_same_seed_draws_the_same() -> None:
    assert tool_talk.ToolTalk(text.load(), 1).group() == tool_talk.ToolTalk(text.load(), 1).group()


def test_without_tools_the_question_is_unknown() -> None:
    corpus = text.load()
    ((_, answer),) = tool_talk.ToolTalk(corpus, 1).unoffered()
    assert answer == corpus.unknown.answer


def test_a_branch_sees_the_beginning_and_itself_alone(processor: SentencePieceProcessor) -> None:
    conversations = [[("a b c one", "x")], [("a b c two two", "y y")], [("a b c three", "z")]]
    alone = [encode(processor, turns) for turns in conversations]
    together = branched(alone)
    assert together.branches.count(0) > 3
    assert len(together.ids) < sum(len(example.ids) for example in alone)
    rows = Rows(sorted({token for example in alone for token in example.ids}))
    torch.manual_seed(1)
    model = build(rows).eval()
    with torch.inference_mode():
        logits, targets = answer_logits(model, rows.batch([together]))
        each = [answer_logits(model, rows.batch([example])) for example in alone]
    assert torch.equal(targets, torch.cat([targets for _, targets in each]))
    assert torch.allclose(logits, torch.cat([logits for logits, _ in each]), atol=1e-4)
