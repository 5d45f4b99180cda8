"""The body of Anthropic's messages, as the card's own form."""

from collections.abc import Iterator
from typing import Any

from app.http.dialect import ParsedRequest
from app.http.dialects.anthropic_messages_reply import MessagesReply
from app.http.dialects.fields import MESSAGES
from app.http.dialects.history import DROPPED_BLOCKS, is_dropped
from app.http.dialects.readers import (
    copied,
    function_call,
    joined,
    named_choice,
    other_type,
    read_items,
    read_model,
    read_object,
    read_stop,
    typed,
)
from app.http.error_objects import messages_error
from app.http.padding import Padding
from app.inference.request import Extras

SHARED = ("stream", "temperature", "top_p", "top_k", "max_tokens", "lora", "seed", "repetition_penalty")
REQUIRED = ("model", "messages", "max_tokens")
COUNTED = ("model", "messages")
TEXT_BLOCKS = ("text",)
BLOCKS = ("text", "tool_use", "tool_result")
CHOICES = {"auto": "auto", "any": "required", "none": "none", "required": "required"}
PLAIN_TOOLS = (None, "custom")


class MessagesDialect:
    """Parses."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    def parse(self, body: Any) -> ParsedRequest:
        """Raises BadInput for what can't be served and what the card's schema can't see."""
        return self._parse(read_object(body, REQUIRED))

    def parse_count(self, body: Any) -> ParsedRequest:
        """The body of a count, which has no answer and so no `max_tokens`."""
        return self._parse({"max_tokens": 1, **read_object(body, COUNTED)})

    def _parse(self, given: dict[str, Any]) -> ParsedRequest:
        model, adapter = read_model(given)
        MESSAGES.check(given)
        system = joined(("system",), given.get("system"), TEXT_BLOCKS)
        opening = [{"role": "system", "content": system}] if system else []
        return ParsedRequest(
            model,
            {**copied(given, SHARED), "messages": [*opening, *_messages(given)]},
            MessagesReply(given["model"], self._padding),
            adapter,
            Extras(stop=read_stop(given, "stop_sequences"), one_call=_one_call(given), may_be_cut=True),
            unchecked=_beyond_the_schema(given),
            error_event=messages_error,
        )


def _messages(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for index, message in enumerate(read_items(given, "messages")):
        path = ("messages", str(index))
        if isinstance(message.get("content"), list):
            yield from _turns((*path, "content"), message.get("role"), message["content"])
        else:
            yield copied(message, ("role", "content"))


def _turns(path: tuple[str, ...], role: Any, blocks: list[Any]) -> Iterator[dict[str, Any]]:
    """One turn for each result of a tool, then one for the text and the calls of the message."""
    texts: list[Any] = []
    calls: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        here = (*path, str(index))
        kind = typed(here, block, dict, "object").get("type")
        if kind == "tool_result":
            content = joined((*here, "content"), block.get("content"), TEXT_BLOCKS)
            yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}
        elif kind == "tool_use":
            calls.append(function_call(block.get("id"), block.get("name"), block.get("input")))
        elif kind == "text":
            texts.append(block)
        elif not is_dropped(block, DROPPED_BLOCKS):
            raise other_type(here, BLOCKS, kind)
    if texts or calls:
        turn = {"role": role, "content": joined(path, texts, TEXT_BLOCKS)}
        yield {**turn, "tool_calls": calls} if calls else turn


def _beyond_the_schema(given: dict[str, Any]) -> dict[str, Any]:
    unchecked: dict[str, Any] = {}
    if given.get("tools") is not None:
        unchecked["tools"] = [_tool(index, tool) for index, tool in enumerate(read_items(given, "tools"))]
    choice = given.get("tool_choice")
    if choice is not None:
        unchecked["tool_choice"] = _choice(choice)
    schema = _schema(given)
    if schema is not None:
        unchecked["response_format"] = {"type": "json_schema", "json_schema": {"name": "", "schema": schema}}
    return unchecked


def _tool(index: int, tool: dict[str, Any]) -> dict[str, Any]:
    path = ("tools", str(index))
    if tool.get("type") not in PLAIN_TOOLS:
        raise other_type(path, ("custom",), tool["type"])
    named = copied(tool, ("name", "description"))
    return {**named, "parameters": tool.get("input_schema")}


def _choice(choice: Any) -> Any:
    """An object of that type; a word alone, as OpenAI's clients send it, means the same."""
    if isinstance(choice, str):
        choice = {"type": choice}
    kind = typed(("tool_choice",), choice, dict, "object").get("type")
    if kind == "tool":
        return named_choice(choice.get("name"))
    if not isinstance(kind, str) or kind not in CHOICES:
        raise other_type(("tool_choice",), ("auto", "any", "none", "tool"), kind)
    return CHOICES[kind]


def _one_call(given: dict[str, Any]) -> bool:
    choice = given.get("tool_choice")
    return isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True


def _schema(given: dict[str, Any]) -> Any:
    """The JSON schema that `output_config.format` asks for, or `output_format` as older clients have it."""
    config = typed(("output_config",), given.get("output_config") or {}, dict, "object")
    path: tuple[str, ...] = ("output_config", "format")
    answer = config.get("format")
    if answer is None:
        path, answer = ("output_format",), given.get("output_format")
    if answer is None:
        return None
    if typed(path, answer, dict, "object").get("type") != "json_schema":
        raise other_type(path, ("json_schema",), answer.get("type"))
    return typed((*path, "schema"), answer.get("schema"), dict, "object")
