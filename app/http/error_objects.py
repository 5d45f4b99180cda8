"""Errors as OpenAI's and Anthropic's APIs name them, beside the envelope: their clients look nowhere else.

The HTTP status stays Workers AI's. Their packages send again what has 408, 409, 429 or 500 and above, and among those of
ours are only errors that may pass: RequestTimeout, RequestAborted, OutOfCapacity (after `Retry-After`), InternalError and
EngineDied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from app.catalog.error_texts import first_place
from app.errors import (
    ApiError,
    AuthenticationFailed,
    BadInput,
    ContextExceeded,
    CredentialsMalformed,
    CredentialsMissing,
    FinetuneIncomplete,
    FinetuneNotFound,
    FinetuneRefused,
    InternalError,
    JsonModeUnmet,
    LoraIncompatible,
    LoraUnsupported,
    NoRoute,
    NoSuchModel,
    NoSuchObject,
    OutOfCapacity,
    PermissionMissing,
    RequestAborted,
    RequestTimeout,
    TooManyConnections,
    printable,
)
from app.http.envelope import JsonResponse, error_items, failure


@dataclass(frozen=True, slots=True)
class Words:
    """The type of an error in each API. `code` is OpenAI's word where it has one, `param` the field at fault."""

    openai: str = "invalid_request_error"
    anthropic: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None


KEY_REFUSED = Words("authentication_error", "authentication_error", "invalid_api_key")
ADAPTER = Words(param="model")  # where these clients name one
NOWHERE = Words(anthropic="not_found_error")
WORDS: Mapping[type[ApiError], Words] = MappingProxyType(
    {
        AuthenticationFailed: KEY_REFUSED,
        CredentialsMissing: KEY_REFUSED,
        CredentialsMalformed: KEY_REFUSED,
        PermissionMissing: Words("permission_error", "permission_error", "insufficient_permissions"),
        NoSuchObject: NOWHERE,
        NoRoute: NOWHERE,
        NoSuchModel: Words(anthropic="not_found_error", code="model_not_found", param="model"),
        FinetuneNotFound: Words(anthropic="not_found_error", code="model_not_found", param="model"),
        FinetuneIncomplete: ADAPTER,
        FinetuneRefused: ADAPTER,
        LoraIncompatible: ADAPTER,
        LoraUnsupported: ADAPTER,
        ContextExceeded: Words(code="context_length_exceeded"),
        OutOfCapacity: Words("rate_limit_error", "overloaded_error", "rate_limit_exceeded"),
        TooManyConnections: Words("server_error", "overloaded_error", "server_error"),
        RequestTimeout: Words("timeout_error", "timeout_error", "timeout"),
        RequestAborted: Words("server_error", "api_error", "server_error"),
        InternalError: Words("server_error", "api_error", "server_error"),
    }
)
REFUSED = Words()
"""Every other error: the request is at fault, and has to change."""


def words_of(error: ApiError) -> Words:
    return next((WORDS[kind] for kind in type(error).__mro__ if kind in WORDS), REFUSED)


def param_of(error: ApiError) -> str | None:
    """The field at fault as OpenAI writes it, `messages[0].content`; None where no field of the body is."""
    if not isinstance(error, BadInput | JsonModeUnmet):
        return None
    place = error.path if isinstance(error, BadInput) else ()
    steps = [f"[{name}]" if name.isdecimal() else f".{name}" for name in place or first_place(str(error))]
    return printable("".join(steps).removeprefix(".")) or None


def openai_object(error: ApiError, request_id: str) -> dict[str, Any]:
    """`code` is the number in digits where OpenAI has no word for it."""
    words = words_of(error)
    return {
        "message": error.message(request_id),
        "type": words.openai,
        "param": words.param or param_of(error),
        "code": words.code or str(error.code),
    }


def openai_failure(error: ApiError, request_id: str) -> JsonResponse:
    """The envelope, `error`, and the text once more as `message`, where older clients look for it."""
    described = openai_object(error, request_id)
    return failure(error, request_id, {"message": described["message"], "error": described})


def openai_error(error: ApiError, request_id: str) -> bytes:
    """The last event of a stream that fails."""
    said = {"errors": error_items(error, request_id), "error": openai_object(error, request_id)}
    return b"data: " + orjson.dumps(said) + b"\n\n"


def responses_error(error: ApiError, request_id: str, number: int) -> bytes:
    """The same for a response: OpenAI's own event, with what the packages raise as `error`."""
    described = openai_object(error, request_id)
    event = {
        "type": "error",
        "sequence_number": number,
        **{name: described[name] for name in ("code", "message", "param")},
        "error": described,
        "errors": error_items(error, request_id),
    }
    return b"event: error\ndata: " + orjson.dumps(event) + b"\n\n"


def messages_object(error: ApiError, request_id: str) -> dict[str, Any]:
    """What stands beside the envelope in Anthropic's errors."""
    described = {"type": words_of(error).anthropic, "message": error.message(request_id)}
    return {"type": "error", "error": described, "request_id": request_id or None}


def messages_failure(error: ApiError, request_id: str) -> JsonResponse:
    """The envelope with Anthropic's error, and its text as `message`."""
    described = messages_object(error, request_id)
    return failure(error, request_id, {"message": described["error"]["message"], **described})


def messages_error(error: ApiError, request_id: str) -> bytes:
    """The last event of a stream that fails."""
    said = {**messages_object(error, request_id), "errors": error_items(error, request_id)}
    return b"event: error\ndata: " + orjson.dumps(said) + b"\n\n"
