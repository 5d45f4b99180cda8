"""The bodies of OpenAI's chat completions and completions, as the card's own form."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from app.http.dialects.dialect import Asked
from app.http.dialects.error_objects import openai_error
from app.http.dialects.openai_chat import ChatReply
from app.http.dialects.openai_completions import CompletionReply
from app.http.dialects.reading import (
    MAX_LOGPROBS,
    copied,
    joined,
    read_count,
    read_flag,
    read_model,
    read_object,
    read_stop,
    refusal,
    refuse_all,
    typed,
    unsupported,
)
from app.http.padding import Padding
from app.inference.request import Extras

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
REFUSED: Mapping[str, str] = MappingProxyType({"logit_bias": "leave it out"})
REFUSED_IN_CHAT: Mapping[str, str] = MappingProxyType(
    {
        **REFUSED,
        "functions": "send tools",
        "function_call": "send tool_choice",
        "audio": "only text is served",
    }
)
REFUSED_IN_COMPLETIONS: Mapping[str, str] = MappingProxyType(
    {
        **REFUSED,
        "echo": "the answer has the new text alone",
        "suffix": "this model writes on from the end of the prompt",
        "tools": "send messages to chat/completions",
        "tool_choice": "send messages to chat/completions",
    }
)
ROLES: Mapping[str, str] = MappingProxyType({"developer": "system"})
TEXT_PARTS = ("text",)


class OpenAiDialect:
    """Parses both kinds of body."""

    def __init__(self, padding: Padding) -> None:
        self._padding = padding

    def parse_chat(self, body: Any) -> Asked:
        """Raises BadInput for what can't be served and what the card's schema can't see."""
        given = read_object(body, ("model", "messages"))
        model, adapter = read_model(given)
        refuse_all(given, REFUSED_IN_CHAT)
        _refuse_several(given, "n")
        return Asked(
            model,
            {**_common(given), "messages": read_messages(given["messages"])},
            ChatReply(given["model"], self._padding, with_usage=_with_usage(given)),
            adapter,
            _extras(given, _chat_logprobs(given)),
            unchecked=_beyond_the_schema(given),
            error_event=openai_error,
        )

    def parse_completion(self, body: Any) -> Asked:
        """The prompt is raw text that the model continues; `"raw": false` makes it a user's turn."""
        given = read_object(body, ("model", "prompt"))
        model, adapter = read_model(given)
        refuse_all(given, REFUSED_IN_COMPLETIONS)
        _refuse_several(given, "n")
        _refuse_several(given, "best_of")
        return Asked(
            model,
            {"raw": True, **_common(given), "prompt": _prompt(given["prompt"])},
            CompletionReply(given["model"], self._padding, with_usage=_with_usage(given)),
            adapter,
            _extras(given, read_count(given, "logprobs", MAX_LOGPROBS)),
            unchecked=_beyond_the_schema(given),
            error_event=openai_error,
        )


def _common(given: dict[str, Any]) -> dict[str, Any]:
    body = copied(given, SHARED)
    for name in ("max_completion_tokens", "max_tokens"):
        if given.get(name) is not None:
            return {**body, "max_tokens": given[name]}
    return body


def _extras(given: dict[str, Any], logprobs: int | None) -> Extras:
    """`ignore_eos` and `min_tokens` are vLLM's, which its clients send beside OpenAI's fields."""
    return Extras(
        read_stop(given, "stop"),
        logprobs,
        read_flag(given, "ignore_eos"),
        read_count(given, "min_tokens") or 0,
        one_call=given.get("parallel_tool_calls") is False,
        may_be_cut=True,
    )


def _beyond_the_schema(given: dict[str, Any]) -> dict[str, Any]:
    """Tools need no descriptions here, and a format may be of text: OpenAI's forms are wider than the published ones."""
    unchecked = copied(given, ("tools", "tool_choice", "response_format"))
    answer = unchecked.get("response_format")
    if isinstance(answer, dict) and answer.get("type") == "text":
        del unchecked["response_format"]
    return unchecked


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
    if "content" in message or "tool_calls" in read:
        read["content"] = joined(("messages", str(index), "content"), message.get("content"), TEXT_PARTS)
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
        raise refusal(f"'/{name}' must be 1: one request gives one answer")


def _chat_logprobs(given: dict[str, Any]) -> int | None:
    top = read_count(given, "top_logprobs", MAX_LOGPROBS)
    if read_flag(given, "logprobs"):
        return top or 0
    if top:
        raise refusal("'/top_logprobs' needs '/logprobs' to be true")
    return None


def _with_usage(given: dict[str, Any]) -> bool:
    """Streams carry the usage, as Workers AI's do, unless the client says no."""
    options = given.get("stream_options")
    if options is None:
        return True
    return typed(("stream_options",), options, dict, "object").get("include_usage") is not False
