"""app.engines.structural_tag: what vLLM and xgrammar make of it."""

import pytest
import xgrammar
from vllm import SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from app.engines.structural_tag import structural_tag
from app.types import Grammar


class TestGrammar:
    def test_a_schema_becomes_a_tag_with_bounded_whitespace(self) -> None:
        tag = structural_tag(Grammar(json_schema='{"properties":{"b":{},"a":{}}}'))
        assert tag == (
            '{"type":"structural_tag","format":{"type":"json_schema","max_whitespace_cnt":1,'
            '"json_schema":{"properties":{"b":{},"a":{}}}}}'
        )
        params = StructuredOutputsParams(structural_tag=tag)
        SamplingParams(max_tokens=7, structured_outputs=params)

    def test_a_tag_stays_as_it_is(self) -> None:
        assert structural_tag(Grammar(structural_tag="x")) == "x"

    @pytest.mark.parametrize(
        ("text", "fits"),
        [
            ('{"a": 1}', True),
            ('{"a":1}', True),
            ('{"a":  1}', False),
            (' {"a": 1}', False),
            ('{"a": 1} ', False),
            ('{"a": "1"}', False),
        ],
    )
    def test_what_xgrammar_makes_of_it(self, text: str, fits: bool) -> None:
        schema = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'
        vocabulary = xgrammar.TokenizerInfo(["x"], stop_token_ids=[0])
        compiled = xgrammar.GrammarCompiler(vocabulary).compile_structural_tag(
            structural_tag(Grammar(json_schema=schema))
        )
        matcher = xgrammar.GrammarMatcher(compiled)
        assert (matcher.accept_string(text) and matcher.is_completed()) is fits
