"""The typed second pass: from a body that its card's schema accepts to a `TextRequest` for the engine.

It refuses only what the schema leaves open and the engine can't serve; everything else that is valid is
served. A null counts as absent wherever the schema lets it through. Texts and code are those of the schema's
refusals.
"""

from dataclasses import dataclass, replace
from typing import Any

from app.catalog import error_texts
from app.catalog.cards import ModelCard
from app.catalog.error_texts import Path
from app.catalog.refusals import mistyped, refusal
from app.catalog.validate import Branch
from app.errors import LoraUnsupported
from app.inference.constrained.json_mode import read_json_format
from app.inference.constrained.tools import read_tool_calls, read_tools
from app.inference.sampling import sampling_of
from app.types import Message, Sampling, TextFormat, TextRequest

MIN_MAX_TOKENS = 1
# Between the text parts of a message, as in mistral-common's v1 tokenizer; empty parts are left out.
PARTS_JOINT = "\n\n"
DEFAULT_ROLE = "user"
TOOL_ROLES = ("assistant", "tool")
RAW_AS_TEXT = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Extras:
    """What some dialects have and the published schema has no field for; see `app.types.Sampling` and `TextRequest`."""

    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    ignore_eos: bool = False
    min_tokens: int = 0
    one_call: bool = False
    may_be_cut: bool = False
    min_p: float = 0.0
    stop_token_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()
    text_format: TextFormat | None = None


NO_EXTRAS = Extras()


def build_request(
    card: ModelCard,
    branch: Branch,
    body: dict[str, Any],
    query_lora: str | None = None,
    extras: Extras = NO_EXTRAS,
) -> TextRequest:
    """`branch` is what `card.input.check(body)` gave; `query_lora` stands in for a body without `lora`.

    Raises `app.errors.BadInput` with the path and the rule, `LoraUnsupported` where the card has no LoRA.
    """
    sampling = sampling_of(body, branch.properties)
    if sampling.max_tokens < MIN_MAX_TOKENS:
        raise refusal(error_texts.out_of_bounds(("max_tokens",), ">=", MIN_MAX_TOKENS))
    _check_ignored(branch, body)
    lora = _lora(body, query_lora)
    if lora is not None and not card.supports_lora:
        raise LoraUnsupported(card.name)
    tools, tool_choice = ((), "auto") if branch.name == "prompt" else read_tools(body)
    json_format = read_json_format(_response_format(branch, body))
    if extras is not NO_EXTRAS:
        shaped = bool(tools) or json_format is not None or extras.text_format is not None
        sampling = _with_extras(sampling, extras, shaped=shaped)
    return TextRequest(
        prompt=_prompt(body) if branch.name == "prompt" else None,
        messages=_messages(body) if branch.name != "prompt" else None,
        sampling=sampling,
        raw=_raw(body),
        stream=body.get("stream") is True,
        lora=lora,
        json_format=json_format,
        text_format=extras.text_format,
        tools=tools,
        tool_choice=tool_choice,
        one_call=extras.one_call,
        may_be_cut=extras.may_be_cut,
    )


def _with_extras(sampling: Sampling, extras: Extras, *, shaped: bool) -> Sampling:
    """`shaped`: a grammar decides where the answer ends, and there nothing but the end token may be left to draw."""
    if extras.min_tokens > sampling.max_tokens:
        raise refusal(error_texts.out_of_bounds(("min_tokens",), "<=", sampling.max_tokens))
    if shaped and (extras.ignore_eos or extras.min_tokens):
        name = "ignore_eos" if extras.ignore_eos else "min_tokens"
        what = "tools or an answer in JSON" if extras.text_format is None else "structured_outputs"
        raise refusal(f"'/{name}' does not go with {what}: leave it out")
    return replace(
        sampling,
        stop=extras.stop,
        logprobs=extras.logprobs,
        ignore_eos=extras.ignore_eos,
        min_tokens=extras.min_tokens,
        min_p=extras.min_p,
        stop_token_ids=extras.stop_token_ids,
        bad_words=extras.bad_words,
    )


def _prompt(body: dict[str, Any]) -> str:
    prompt = body["prompt"]
    if not isinstance(prompt, str):
        raise mistyped(("prompt",), "string", prompt)
    return prompt


def _messages(body: dict[str, Any]) -> tuple[Message, ...]:
    messages = body.get("messages")
    if messages is None:
        raise refusal(error_texts.missing((), ("messages",)))
    if not isinstance(messages, list):
        raise mistyped(("messages",), "array", messages)
    if not messages:
        raise refusal(error_texts.too_short(("messages",), 1))
    return tuple(_message(("messages", str(index)), message) for index, message in enumerate(messages))


def _message(path: Path, message: Any) -> Message:
    if not isinstance(message, dict):
        raise mistyped(path, "object", message)
    role = message.get("role")
    role = DEFAULT_ROLE if role is None else role
    if not isinstance(role, str):
        raise mistyped((*path, "role"), "string", role)
    content = _content((*path, "content"), message.get("content"))
    if role not in TOOL_ROLES:
        return Message(role, content)
    return Message(role, content, read_tool_calls(path, message), _tool_call_id(path, message))


def _tool_call_id(path: Path, message: dict[str, Any]) -> str:
    value = message.get("tool_call_id")
    if value is not None and not isinstance(value, str):
        raise mistyped((*path, "tool_call_id"), "string", value)
    return value or ""


def _content(path: Path, content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise mistyped(path, "string", content)
    texts = (_part((*path, str(index)), part) for index, part in enumerate(content))
    return PARTS_JOINT.join(text for text in texts if text)


def _part(path: Path, part: Any) -> str:
    """The text of one part; a part without a type is text, one of another type would be silently lost."""
    if not isinstance(part, dict):
        raise mistyped(path, "object", part)
    kind, text = part.get("type"), part.get("text")
    if kind not in (None, "text"):
        raise refusal(error_texts.not_in_enum((*path, "type"), ("text",), kind))
    if text is not None and not isinstance(text, str):
        raise mistyped((*path, "text"), "string", text)
    return text or ""


def _lora(body: dict[str, Any], query_lora: str | None) -> str | None:
    """An adapter's name or id. An empty one is valid and names no adapter, also not the query's."""
    lora = body.get("lora")
    if lora is None:
        return query_lora or None
    if not isinstance(lora, str):
        raise mistyped(("lora",), "string", lora)
    return lora or None


def _raw(body: dict[str, Any]) -> bool:
    """A string gets here only where the card does not type `raw`: Cloudflare's own LoRA example sends one."""
    raw = body.get("raw")
    if raw is None or isinstance(raw, bool):
        return bool(raw)
    if isinstance(raw, str) and raw in RAW_AS_TEXT:
        return RAW_AS_TEXT[raw]
    raise mistyped(("raw",), "boolean", raw)


def _response_format(branch: Branch, body: dict[str, Any]) -> dict[str, Any] | None:
    value = body.get("response_format")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise mistyped(("response_format",), "object", value)
    kind = value.get("type")
    if "response_format" not in branch.properties and not (kind is None or isinstance(kind, str)):
        raise mistyped(("response_format", "type"), "string", kind)
    return value


def _check_ignored(branch: Branch, body: dict[str, Any]) -> None:
    """Nothing reads `stop` and `functions`, but who sends a mistyped one should hear of it."""
    stop = body.get("stop")
    if stop is not None and "stop" not in branch.properties and not isinstance(stop, str):
        _check_items(("stop",), stop, str, "string")
    functions = body.get("functions")
    if functions is not None and "functions" not in branch.properties:
        _check_items(("functions",), functions, dict, "object")


def _check_items(path: Path, value: Any, kind: type, name: str) -> None:
    if not isinstance(value, list):
        raise mistyped(path, "array" if kind is dict else name, value)
    for index, item in enumerate(value):
        if not isinstance(item, kind):
            raise mistyped((*path, str(index)), name, item)
