"""What OpenAI's and Anthropic's packages publish of their answers, as a strict judge.

Their models accept nearly anything: what is missing becomes None, what is unknown is kept. Here every field of a model
must be there but for those that its API leaves out (`ABSENT`), and there is no other but for those of ours (`OURS`).
"""

import math
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

ABSENT: Mapping[str, frozenset[str]] = {
    # Of services that there are not here, and what other kinds of answers have. Optional in OpenAI's own definition
    # too, which `test_published.py` looks up.
    "ChatCompletion": frozenset({"metadata", "moderation", "system_fingerprint"}),
    "ChatCompletionMessage": frozenset({"audio", "function_call", "tool_calls"}),
    "ChatCompletionChunk": frozenset(
        {"moderation", "obfuscation", "service_tier", "system_fingerprint", "usage"}
    ),
    "ChoiceDelta": frozenset({"audio", "content", "function_call", "refusal", "role", "tool_calls"}),
    "Completion": frozenset({"system_fingerprint", "usage"}),
    "CompletionTokensDetails": frozenset({"text_tokens"}),
    "PromptTokensDetails": frozenset({"cache_write_tokens", "image_tokens", "text_tokens"}),
    "Response": frozenset(
        {
            "image",
            "input_transformations",
            "prompt_cache_diagnostics",
            "prompt_cache_options",
            "tool_usage",
        }
    ),
    "InputTokensDetails": frozenset({"cache_write_tokens_details"}),
    "ResponseOutputMessage": frozenset({"phase"}),
    "ResponseFunctionToolCall": frozenset({"async", "caller", "namespace"}),
    "FunctionTool": frozenset({"allowed_callers", "async", "defer_loading", "output_schema"}),
    "Reasoning": frozenset({"context", "generate_summary", "mode"}),
    "ErrorObject": frozenset({"misalignment"}),
    "Model": frozenset({"shutdown_date"}),
    # Anthropic's.
    "ToolUseBlock": frozenset({"toolset_name"}),
}
OURS: Mapping[str, frozenset[str]] = {
    "ChatCompletionChunk": frozenset({"p"}),  # padding: the size of a packet tells the length of a token
    "Completion": frozenset({"p"}),
    "ResponseTextDeltaEvent": frozenset({"p"}),
    "RawContentBlockDeltaEvent": frozenset({"p"}),
    "ResponseErrorEvent": frozenset(
        {"error", "errors"}
    ),  # the packages raise `error`; `errors` is the envelope's
    "ResponseFunctionCallArgumentsDoneEvent": frozenset({"name"}),
}
NULL: frozenset[str] = frozenset({"Completion.choices.finish_reason"})
"""Null in a stream until the end, which the type of the whole answer does not say."""


def faults(kind: Any, value: Any, path: str = "") -> list[str]:
    """What `value` breaks of a published type, each in one line; nothing where it is what the type says."""
    return list(_faults(kind, value, path or getattr(kind, "__name__", "value")))


def _faults(kind: Any, value: Any, path: str) -> Iterator[str]:
    kind = _plain(kind)
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any or kind is object or isinstance(kind, TypeVar):
        return
    if origin in (Union, types.UnionType):
        yield from _of_union(args, value, path)
    elif origin is Literal:
        if not any(type(value) is type(one) and value == one for one in args):
            yield f"{path}: {value!r} is none of {args}"
    elif origin is list:
        yield from _of_list(args[0], value, path)
    elif origin is dict:
        yield from _of_dict(args[1], value, path)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _of_model(kind, value, path)
    elif not _is(kind, value):
        yield f"{path}: {value!r} is no {getattr(kind, '__name__', kind)}"


def _plain(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _is(kind: Any, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is type(None):
        return value is None
    return type(value) is kind


def _of_union(kinds: tuple[Any, ...], value: Any, path: str) -> Iterator[str]:
    """The member that comes nearest; one whose constant `type` is the value's own counts before others."""
    found = [faults(kind, value, path) for kind in kinds]
    named = [
        wrong
        for kind, wrong in zip(kinds, found, strict=True)
        if isinstance(value, dict) and _named(kind, value)
    ]
    yield from min(named or found, key=len)


def _named(kind: Any, value: Mapping[str, Any]) -> bool:
    kind = _plain(kind)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)) or "type" not in kind.model_fields:
        return False
    return value.get("type") in get_args(_plain(kind.model_fields["type"].annotation))


def _of_list(kind: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is no list"
        return
    for item in value:
        yield from _faults(kind, item, path)


def _of_dict(kind: Any, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    for item in value.values():
        yield from _faults(kind, item, path)


def _of_model(model: type[BaseModel], value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no {model.__name__}"
        return
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for name in value.keys() - fields.keys() - OURS.get(model.__name__, frozenset()):
        yield f"{path}.{name}: {model.__name__} has no such field"
    for name, field in fields.items():
        here = f"{path}.{name}"
        if name not in value:
            if name not in ABSENT.get(model.__name__, frozenset()):
                yield f"{here}: missing of {model.__name__}"
        elif not (value[name] is None and here in NULL):
            yield from _faults(field.annotation, value[name], here)
