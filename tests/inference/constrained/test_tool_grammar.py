"""app/inference/constrained/tool_grammar.py: what xgrammar lets a model write, with the vocabulary of the stand-in."""

from collections.abc import Callable
from pathlib import Path

import pytest
import xgrammar
from transformers import PreTrainedTokenizerFast

from app.inference.constrained.tool_grammar import grammar_of_calls
from app.types import JsonFormat, Tool, ToolChoice

EOS = 2
WEATHER = Tool(
    "get_weather",
    "",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)
STOP = Tool("stop", "", {"type": "object", "properties": {}})
TOOLS = (WEATHER, STOP)
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Berlin"}}</tool_call>'
NO_ARGUMENTS = '<tool_call>{"name": "stop", "arguments": {}}</tool_call>'

Accepts = Callable[[str], bool]


@pytest.fixture(scope="module")
def compiler(standin_folder: Path) -> xgrammar.GrammarCompiler:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(standin_folder / "tokenizer.json"))
    return xgrammar.GrammarCompiler(
        xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=32_000, stop_token_ids=EOS)
    )


@pytest.fixture(scope="module")
def accepts(compiler: xgrammar.GrammarCompiler) -> Callable[..., Accepts]:
    def grammar(
        choice: ToolChoice = "auto", json_format: JsonFormat | None = None, *, one_call: bool = False
    ) -> Accepts:
        made = grammar_of_calls(TOOLS, choice, json_format, one_call=one_call)
        assert made.structural_tag is not None
        compiled = compiler.compile_structural_tag(made.structural_tag)

        def whole(text: str) -> bool:
            matcher = xgrammar.GrammarMatcher(compiled)
            return matcher.accept_string(text) and (matcher.is_terminated() or matcher.accept_token(EOS))

        return whole

    return grammar


@pytest.mark.parametrize("json_format", [None, JsonFormat()])
def test_one_call_is_the_end_where_no_more_are_wanted(
    accepts: Callable[..., Accepts], json_format: JsonFormat | None
) -> None:
    assert accepts("auto", json_format)(f"{CALL}\n{NO_ARGUMENTS}")
    assert accepts("auto", json_format, one_call=True)(CALL)
    assert not accepts("auto", json_format, one_call=True)(f"{CALL}\n{NO_ARGUMENTS}")


BROKEN = [
    "<tool_call>",
    CALL[:-1],
    CALL.replace("get_weather", "go"),
    CALL.replace("city", "town"),
    CALL.replace('"Berlin"', "5"),
    CALL.replace('{"city": "Berlin"}', "{}"),
    CALL.replace('{"city": "Berlin"}', "[]"),
    CALL.replace(' {"city"', ' {  "city"'),
    CALL.replace('"arguments"', '"parameters"'),
    NO_ARGUMENTS.replace("{}", '{"a": 1}'),
]


@pytest.mark.parametrize("call", BROKEN)
def test_no_other_calls(accepts: Callable[..., Accepts], call: str) -> None:
    assert not accepts("auto")(call)
    assert not accepts("auto")(f"Well, {call}")
    assert not accepts("required")(call)
    assert not accepts("auto", JsonFormat())(call)


def test_text_and_calls(accepts: Callable[..., Accepts]) -> None:
    auto = accepts("auto")
    for text in (
        "",
        "Hello",
        "a <tool_cal",
        CALL,
        f"Well, {CALL}",
        CALL + CALL,
        f" {CALL}\n{NO_ARGUMENTS}.",
        "{",
    ):
        assert auto(text), text


def test_one_call_and_nothing_else(accepts: Callable[..., Accepts]) -> None:
    required = accepts("required")
    for text in (CALL, f" {CALL}", NO_ARGUMENTS, CALL.replace("Berlin", '</tool_call>\\"')):
        assert required(text), text
    for text in ("", "Hello", f"Well, {CALL}", f"{CALL}.", CALL + CALL, f"{CALL}\n{CALL}", f"  {CALL}"):
        assert not required(text), text


def test_json_or_calls(accepts: Callable[..., Accepts]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    one = accepts("auto", JsonFormat(schema))
    for text in ('{"a": 1}', CALL, f" {CALL}\n{NO_ARGUMENTS}"):
        assert one(text), text
    for text in ("", "Hello", '{"b": 1}', f'{{"a": 1}}{CALL}', f'{CALL}{{"a": 1}}'):
        assert not one(text), text
    assert accepts("auto", JsonFormat())('{"b": [1]}')
    assert not accepts("required", JsonFormat(schema))('{"a": 1}')


def test_references_stay_within_a_tools_parameters(compiler: xgrammar.GrammarCompiler) -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/a"}},
        "required": ["a"],
        "$defs": {"a": {"enum": ["x"]}},
    }
    grammar = grammar_of_calls((Tool("t", "", parameters), WEATHER), "required", None)
    assert grammar.structural_tag is not None
    compiled = compiler.compile_structural_tag(grammar.structural_tag)
    call = '<tool_call>{"name": "t", "arguments": {"a": "x"}}</tool_call>'
    assert xgrammar.GrammarMatcher(compiled).accept_string(call)
    assert not xgrammar.GrammarMatcher(compiled).accept_string(call.replace('"x"', '"y"'))
