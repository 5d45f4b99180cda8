"""The grammar of an answer that may or must call tools: xgrammar's structural tag (xgrammar.mlc.ai/docs).

Wherever a call begins, a known name and arguments that satisfy its parameters follow, as far as xgrammar understands
their schema; `app.inference.constrained.tool_calls` checks the rest.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from app.engines.structural_tag import MAX_WHITESPACE_CHARS
from app.inference.constrained.json_mode import ANY_OBJECT
from app.inference.constrained.tool_prompt import CALL_BEGINS, CALL_ENDS
from app.types import Grammar, JsonFormat, Tool, ToolChoice

# The tokenizer marks the first word of an answer with a space; without one the model could not begin as it learned.
FIRST_BLANK: Final = {"type": "optional", "content": {"type": "const_string", "value": " "}}


def grammar_of_calls(
    tools: Sequence[Tool], choice: ToolChoice, json_format: JsonFormat | None, *, one_call: bool = False
) -> Grammar:
    """For at least one tool. "required" leaves exactly one call and nothing else; otherwise there are as many calls as
    the model likes (with `one_call` the first is the end), in text of any kind, or in place of the text where that
    must be JSON.
    """
    tags = [_tag(tool) for tool in tools]
    if choice == "required":
        wanted = _sequence(FIRST_BLANK, {"type": "or", "elements": tags})
    elif json_format is not None:
        several = {
            "type": "tags_with_separator",
            "tags": tags,
            "separator": "\n",
            "at_least_one": True,
            "stop_after_first": one_call,
        }
        answer = _json(json_format.schema or ANY_OBJECT)
        wanted = _sequence(FIRST_BLANK, {"type": "or", "elements": [answer, several]})
    else:
        wanted = {
            "type": "triggered_tags",
            "triggers": [CALL_BEGINS],
            "tags": tags,
            "stop_after_first": one_call,
        }
    return Grammar(structural_tag=json.dumps({"type": "structural_tag", "format": wanted}))


def _tag(tool: Tool) -> dict[str, Any]:
    return {
        "type": "tag",
        "begin": f'{CALL_BEGINS}{{"name": {json.dumps(tool.name)}, "arguments": ',
        "content": _json(tool.parameters),
        "end": f"}}{CALL_ENDS}",
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": MAX_WHITESPACE_CHARS}


def _sequence(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "sequence", "elements": list(elements)}
