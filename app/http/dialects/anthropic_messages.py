"""Anthropic's messages: the body as the card's own form, and a run as one object or the events that build it."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import orjson
from starlette.responses import Response

from app.http.dialect import Frames, ParsedRequest, TextRoute
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
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse
from app.http.error_objects import messages_error
from app.http.padding import Padding
from app.inference.pipeline import Run
from app.inference.request import Extras
from app.types import FinishReason, ToolCall, Usage

SHARED = ("stream", "temperature", "top_p", "top_k", "max_tokens", "lora", "seed", "repetition_penalty")
REQUIRED = ("model", "messages", "max_tokens")
COUNTED = ("model", "messages")
TEXT_BLOCKS = ("text",)
BLOCKS = ("text", "tool_use", "tool_result")
CHOICES = {"auto": "auto", "any": "required", "none": "none", "required": "required"}
PLAIN_TOOLS = (None, "custom")

STOP_REASONS: Mapping[FinishReason, str] = MappingProxyType(
    {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
)

ENDING: Mapping[str, None] = MappingProxyType(
    dict.fromkeys(("stop_reason", "stop_sequence", "stop_details", "container"))
)
"""What an end may say; nothing before it."""
USED: Mapping[str, Any] = MappingProxyType(
    {
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "inference_geo": None,
        "service_tier": "standard",
        "speed": "standard",
    }
)
"""Of a message's usage, beside its counts: there is one tier, and a cache keeps what it likes."""


def routes(padding: Padding) -> list[TextRoute]:
    """See `app.http.dialect.Dialect`."""
    dialect = MessagesDialect(padding)
    return [
        TextRoute("/ai/v1/messages", dialect.parse),
        TextRoute(
            "/ai/v1/messages/count_tokens", dialect.parse_count, lambda tokens: {"input_tokens": tokens}
        ),
    ]


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


class MessagesReply:
    """See `app.http.dialect.Reply`. One for each request: `model` is as the client wrote it."""

    def __init__(self, model: str, padding: Padding) -> None:
        self._model = model
        self._padding = padding

    async def json(self, run: Run) -> dict[str, Any]:
        """The text as a block, then the calls; no empty text."""
        answer = await run.collect()
        content = [_text(answer.text)] if answer.text else []
        content += [_tool_use(call, orjson.loads(call.arguments)) for call in answer.tool_calls]
        ended = _ending(answer.finish_reason, answer.stop_text)
        return {**self._message(run.usage), "content": content, **ended}

    def events(self, run: Run) -> Frames:
        """A block of text delta by delta, each call whole, then stop reason and usage."""
        blocks = Blocks(self._padding)
        frame = _frame("message_start", message=self._message(run.usage))
        reason: FinishReason | None = None
        stop_text: str | None = None
        while (delta := (yield frame)) is not None:
            reason = delta.finish_reason or reason
            stop_text = delta.stop_text or stop_text
            frame = blocks.text(delta.text) if delta.text else b""
            for call in delta.tool_calls:
                frame += blocks.call(call)
        ended = {**ENDING, **_ending(reason, stop_text)}
        yield (
            blocks.close()
            + _frame("message_delta", delta=ended, usage=_counts(run.usage))
            + _frame("message_stop")
        )

    def _message(self, usage: Usage) -> dict[str, Any]:
        return {
            "id": f"msg_{uuid4().hex}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            **ENDING,
            "diagnostics": None,
            "usage": {**_counts(usage), **USED},
        }

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        """Not enveloped: there is no place for hints."""
        return JsonResponse(result, headers={REQUEST_ID_HEADER: request_id})


class Blocks:
    """The events of a message's content."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding
        self._index = 0
        self._delta_head = b""

    def text(self, text: str) -> bytes:
        """More of the text block, which is begun where none is open."""
        begun = b"" if self._delta_head else self._open()
        return begun + self._delta_head + orjson.dumps(text) + b"}" + self._padding.next()

    def call(self, call: ToolCall) -> bytes:
        """A call, whole: it is known only once its arguments are complete."""
        closed = self.close()
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        frames = (
            _frame("content_block_start", index=self._index, content_block=_tool_use(call, {})),
            _frame("content_block_delta", index=self._index, delta=delta),
            _frame("content_block_stop", index=self._index),
        )
        self._index += 1
        return closed + b"".join(frames)

    def close(self) -> bytes:
        """The end of the text block, nothing where none is open."""
        if not self._delta_head:
            return b""
        self._delta_head = b""
        self._index += 1
        return _frame("content_block_stop", index=self._index - 1)

    def _open(self) -> bytes:
        self._delta_head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d' % self._index
            + b',"delta":{"type":"text_delta","text":'
        )
        return _frame("content_block_start", index=self._index, content_block=_text(""))


def _frame(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _ending(reason: FinishReason | None, stop_text: str | None) -> dict[str, Any]:
    """A stop text after calls ends them, and then they are the reason."""
    if reason == "stop" and stop_text is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": stop_text}
    return {"stop_reason": STOP_REASONS.get(reason) if reason else None, "stop_sequence": None}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _tool_use(call: ToolCall, arguments: Any) -> dict[str, Any]:
    """`caller`: the model itself, and no program of the server's."""
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": arguments,
        "caller": {"type": "direct"},
    }


def _counts(usage: Usage) -> dict[str, Any]:
    """Input is counted without what the cache gave."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": 0},
        "server_tool_use": None,
    }
