"""An answer's grammar as xgrammar's structural tag, and which tokens no grammar may be written with."""

from typing import Any, Final

from app.types import Grammar

MAX_WHITESPACE_CHARS: Final = 1
"""Between the parts of an answer in JSON: `{"a": 1}` has one."""


def structural_tag(grammar: Grammar) -> str:
    """The text of xgrammar's structural tag that keeps an answer to `grammar`.

    A schema becomes one too: beside it vLLM's `json` refuses what xgrammar can't check in full (`multipleOf`,
    `uniqueItems`), where the answer may well satisfy it, and has no limit on whitespace, which a small model
    can write without end.
    """
    if grammar.structural_tag is not None:
        return grammar.structural_tag
    return (
        '{"type":"structural_tag","format":{"type":"json_schema",'
        f'"max_whitespace_cnt":{MAX_WHITESPACE_CHARS},"json_schema":{grammar.json_schema}}}}}'
    )


def control_tokens(tokenizer: Any) -> set[int]:
    """Ids of the control tokens of one of transformers' tokenizers, those that end an answer among them."""
    return {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
