"""The bodies of OpenAI's chat completions and completions, as the card's own form."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.catalog.refusals import plain_refusal
from app.http.dialect import ParsedRequest, TextRoute
from app.http.dialects.fields import CHAT, COMPLETIONS
from app.http.dialects.history import calls_of, older_call, spoken
from app.http.dialects.openai_chat import ChatReply
from app.http.dialects.openai_completions import CompletionReply
from app.http.dialects.openai_extras import read_extras, seeded
from app.http.dialects.readers import (
    MAX_LOGPROBS,
    copied,
    joined,
    read_count,
    read_flag,
    read_limit,
    read_model,
    read_object,
    sent_as,
    typed,
    unsupported,
)
from app.http.dialects.tool_choices import chosen
from app.http.error_objects import openai_error
from app.http.padding import Padding

# Fields that mean the same in a card's schema, ours beside OpenAI's: clients send those as extra fields.
SHARED = (
    "stream",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "lora",
    "top_k",
    "repetition_penalty",
    "raw",
)
ROLES: Mapping[str, str] = MappingProxyType({"developer": "system", "function": "tool"})
TEXT_PARTS = ("text",)
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def routes(padding: Padding) -> list[TextRoute]:
    """See `app.http.dialect.Dialect`."""
    dialect = OpenAiDialect(padding)
    return [
        TextRoute("/ai/v1/chat/completions", dialect.parse_chat),
        TextRoute("/ai/v1/completions", dialect.parse_completion),
    ]


class OpenAiDialect:
    """Parses both kinds of body."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    def parse_chat(self, body: Any) -> ParsedRequest:
        """Raises BadInput for what can't be served and what the card's schema can't see."""
        given = seeded(read_object(body, ("model", "messages")))
        model, adapter = read_model(given)
        CHAT.check(given)
        _refuse_several(given, "n")
        extras, form = read_extras(given, _chat_logprobs(given), given.get("response_format"))
        return ParsedRequest(
            model,
            {**_common(given), "messages": read_messages(given["messages"])},
            ChatReply(given["model"], self._padding, with_usage=_with_usage(given)),
            adapter,
            extras,
            unchecked={**chosen(given.get("tool_choice"), given.get("tools")), **form},
            error_event=openai_error,
            sent_as=sent_as(given, LIMITS),
        )

    def parse_completion(self, body: Any) -> ParsedRequest:
        """The prompt is raw text that the model continues; `"raw": false` makes it a user's turn."""
        given = seeded(read_object(body, ("model", "prompt")))
        model, adapter = read_model(given)
        COMPLETIONS.check(given)
        _refuse_several(given, "n")
        _refuse_several(given, "best_of")
        logprobs = read_count(given, "logprobs", MAX_LOGPROBS)
        extras, form = read_extras(given, logprobs, given.get("response_format"))
        return ParsedRequest(
            model,
            {"raw": True, **_common(given), "prompt": _prompt(given["prompt"])},
            CompletionReply(given["model"], self._padding, with_usage=_with_usage(given)),
            adapter,
            extras,
            unchecked=form,
            error_event=openai_error,
            sent_as=sent_as(given, LIMITS),
        )


def _common(given: dict[str, Any]) -> dict[str, Any]:
    return {**copied(given, SHARED), **read_limit(given, LIMITS)}


def read_messages(messages: Any) -> Any:
    """Turns with their content as one text. What is no turn at all stays for the card's schema to judge."""
    if not isinstance(messages, list):
        return messages
    return [_message(index, message) for index, message in enumerate(messages)]


def _message(index: int, message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    read = copied(message, ("role", "tool_calls", "tool_call_id"))
    role = read.get("role")
    if isinstance(role, str):
        read["role"] = ROLES.get(role, role)
    if "tool_calls" in read:
        read["tool_calls"] = calls_of(read["tool_calls"])
    elif role == "assistant" and (calls := older_call(message)):
        read["tool_calls"] = calls
    path = ("messages", str(index), "content")
    if role == "assistant":
        read["content"] = spoken(path, message, TEXT_PARTS)
    elif "content" in message:
        read["content"] = joined(path, message["content"], TEXT_PARTS)
    return read


def _prompt(prompt: Any) -> Any:
    """A text, or a list with one."""
    if not isinstance(prompt, list):
        return prompt
    if len(prompt) != 1 or not isinstance(prompt[0], str):
        raise unsupported(("prompt",), "send one text, for each prompt its own request")
    return prompt[0]


def _refuse_several(given: dict[str, Any], name: str) -> None:
    value = given.get(name)
    if value is not None and typed((name,), value, int, "integer") != 1:
        raise plain_refusal(f"'/{name}' must be 1: one request gives one answer")


def _chat_logprobs(given: dict[str, Any]) -> int | None:
    top = read_count(given, "top_logprobs", MAX_LOGPROBS)
    if read_flag(given, "logprobs"):
        return top or 0
    if top:
        raise plain_refusal("'/top_logprobs' needs '/logprobs' to be true")
    return None


def _with_usage(given: dict[str, Any]) -> bool:
    """Streams carry the usage, as Workers AI's do, unless the client says no."""
    options = given.get("stream_options")
    if options is None:
        return True
    return typed(("stream_options",), options, dict, "object").get("include_usage") is not False
