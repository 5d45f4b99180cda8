"""Tools as text: the instruction format knows neither functions nor calls, so the prompt says what they are.

The texts are fixed, because the stand-in is taught them, and are those that `app.inference.constrained.tool_calls`
reads. All of it is plain text to the tokenizer: a user who writes it gets no more than a user who asks for a call.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from app.types import Message, Tool, ToolCall

CALL_BEGINS: Final = "<tool_call>"
CALL_ENDS: Final = "</tool_call>"
EXPLANATION: Final = (
    f'You can call functions. To call one, write {CALL_BEGINS}{{"name": NAME, "arguments": ARGUMENTS}}{CALL_ENDS}'
    " and nothing else.\nFunctions:\n"
)


def in_plain_turns(messages: Iterable[Message], tools: Iterable[Tool]) -> tuple[Message, ...]:
    """The conversation in turns of text alone. Without tools, calls and `tool` turns it is what it was."""
    turns = tuple(_plain(message) for message in messages)
    explanation = explained(tools)
    return (Message("system", explanation), *turns) if explanation else turns


def explained(tools: Iterable[Tool]) -> str:
    """What the model must know to call one: a line for each. Empty without tools."""
    lines = [
        json.dumps(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            ensure_ascii=False,
        )
        for tool in tools
    ]
    return EXPLANATION + "\n".join(lines) if lines else ""


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return replace(message, content=f"<tool_response>{message.content}</tool_response>")
    if not message.tool_calls:
        return message
    calls = [_written(call) for call in message.tool_calls]
    return Message(message.role, "\n".join([message.content, *calls] if message.content else calls))


def _written(call: ToolCall) -> str:
    """As the model writes it."""
    name = json.dumps(call.name, ensure_ascii=False)
    return f'{CALL_BEGINS}{{"name": {name}, "arguments": {call.arguments}}}{CALL_ENDS}'
