"""Formats of texts and engine_fields: grammars of texts, the last look, and engines that lack a field."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import xgrammar

from app.engines.llamacpp.grammar.structural_tag import gbnf_of
from app.errors import BadInput, JsonModeUnmet
from app.inference.constrained.schema_checker import AccountSchemas, Schemas
from app.inference.constrained.text_format import CheckedText, grammar_of_text
from app.inference.engine_fields import asks_more, check_engine
from app.types import Delta, FinishReason, Sampling, TextFormat, TextRequest
from tests.engines.llamacpp.gbnf_reader import Reader

PATH = ("structured_outputs", "x")
YES_NO = TextFormat("choice", ("yes", "no", "yes, please", 'say "é"\n'), PATH)
DATE = TextFormat("regex", r"\d{4}-\d{2}", PATH)
EBNF = TextFormat("grammar", 'root ::= "a" | "b" root', PATH)
TAG = TextFormat(
    "structural_tag", '{"type":"structural_tag","format":{"type":"const_string","value":"a"}}', PATH
)


@pytest.mark.parametrize("wanted", [YES_NO, DATE, EBNF, TAG])
@pytest.mark.parametrize("opens_turn", [True, False])
def test_the_grammar_is_one_for_xgrammar(wanted: TextFormat, opens_turn: bool) -> None:
    tag = grammar_of_text(wanted, opens_turn=opens_turn).structural_tag
    assert tag is not None
    xgrammar.Grammar.from_structural_tag(tag)
    assert ('" "' in tag) == (opens_turn and wanted is not TAG)


def test_a_choice_in_llamacpps_form() -> None:
    for opens_turn, mark in ((True, " "), (False, "")):
        grammar = Reader(gbnf_of(grammar_of_text(YES_NO, opens_turn=opens_turn)))
        for text in YES_NO.value:
            assert grammar.takes(mark + text), text
        for text in ("ye", "yes,", "", "yesno", "Yes"):
            assert not grammar.takes(mark + text), text


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wanted", "text", "reason", "right"),
    [
        (YES_NO, "yes", "stop", True),
        (YES_NO, " no", "stop", True),
        (YES_NO, "yes, pl", "length", True),
        (YES_NO, "yes, pl", "stop", False),
        (YES_NO, "", "stop", False),
        (DATE, "2024-05", "stop", True),
        (DATE, "2024-05-01", "stop", False),
        (DATE, "in 2024-05", "stop", False),
        (EBNF, "whatever", "stop", True),
    ],
)
async def test_the_finished_text(wanted: TextFormat, text: str, reason: FinishReason, right: bool) -> None:
    async def deltas() -> AsyncIterator[Delta]:
        yield Delta(text[:2], [1])
        yield Delta(text[2:], [2], reason)

    schemas = Schemas()
    try:
        checked = CheckedText(deltas(), wanted, AccountSchemas(schemas, "a"))
        if right:
            assert "".join([delta.text async for delta in checked]) == text
        else:
            with pytest.raises(JsonModeUnmet, match="The model's answer is not one that the"):
                _ = [delta async for delta in checked]
    finally:
        await schemas.stop()


def request(text_format: TextFormat | None = None, **sampling: Any) -> TextRequest:
    return TextRequest("a", None, Sampling(max_tokens=5, **sampling), text_format=text_format)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (request(min_p=0.5), "'/min_p' is not supported: the engine of this model does not have it"),
        (request(stop_token_ids=(1,)), "'/stop_token_ids' is not supported"),
        (request(bad_words=("a",)), "'/bad_words' is not supported"),
        (request(DATE), "'/structured_outputs/x' is not supported: .* send a choice or a JSON schema"),
        (request(EBNF), "'/structured_outputs/x' is not supported"),
        (request(TAG), "'/structured_outputs/x' is not supported"),
    ],
)
def test_what_an_engine_lacks_is_refused(asked: TextRequest, text: str) -> None:
    assert asks_more(asked)
    with pytest.raises(BadInput, match=text):
        check_engine(asked, frozenset(), compiles_grammars=False, vocab_size=10)
    has = frozenset({"min_p", "stop_token_ids", "bad_words"})
    check_engine(asked, has, compiles_grammars=True, vocab_size=10)


def test_no_token_beyond_the_vocabulary() -> None:
    with pytest.raises(BadInput, match="'/stop_token_ids' must be below 10, the number of tokens"):
        check_engine(
            request(stop_token_ids=(3, 10)),
            frozenset({"stop_token_ids"}),
            compiles_grammars=True,
            vocab_size=10,
        )
    assert not asks_more(request())
    assert json.loads(str(TAG.value))["type"] == "structural_tag"
