"""Every leaf of the tree as OpenAI's and Anthropic's APIs have errors, held against their packages' types."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from anthropic.types.shared.error_object import ErrorObject as AnthropicObject
from openai.types.responses import ResponseErrorEvent
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter

from app.errors import (
    ApiError,
    AuthenticationFailed,
    BadInput,
    ContextExceeded,
    EngineDied,
    FinetuneNotFound,
    InternalError,
    JsonModeUnmet,
    NoSuchModel,
    NoSuchObject,
    OutOfCapacity,
    PermissionMissing,
    RequestAborted,
    RequestTimeout,
    RequestTooLarge,
)
from app.http import error_objects
from tests.http.test_envelope import ARGUMENTS, leaves

LEAVES = list(leaves())
ID = "0b5bd3a2-7e53-4d5c-8e5c-1f6f0c7b2a11"
WORDS: dict[type[ApiError], tuple[str, str, str]] = {
    AuthenticationFailed: ("authentication_error", "invalid_api_key", "authentication_error"),
    PermissionMissing: ("permission_error", "insufficient_permissions", "permission_error"),
    BadInput: ("invalid_request_error", "5006", "invalid_request_error"),
    RequestTooLarge: ("invalid_request_error", "3006", "invalid_request_error"),
    JsonModeUnmet: ("invalid_request_error", "5024", "invalid_request_error"),
    NoSuchModel: ("invalid_request_error", "model_not_found", "not_found_error"),
    FinetuneNotFound: ("invalid_request_error", "model_not_found", "not_found_error"),
    NoSuchObject: ("invalid_request_error", "7003", "not_found_error"),
    ContextExceeded: ("invalid_request_error", "context_length_exceeded", "invalid_request_error"),
    OutOfCapacity: ("rate_limit_error", "rate_limit_exceeded", "overloaded_error"),
    RequestTimeout: ("timeout_error", "timeout", "timeout_error"),
    RequestAborted: ("server_error", "server_error", "api_error"),
    InternalError: ("server_error", "server_error", "api_error"),
    EngineDied: ("server_error", "server_error", "api_error"),
}


def leaf_of(leaf: type[ApiError]) -> ApiError:
    return leaf(*ARGUMENTS.get(leaf.__name__, ()))


@pytest.mark.parametrize("leaf", WORDS, ids=lambda leaf: leaf.__name__)
def test_what_each_api_calls_it(leaf: type[ApiError]) -> None:
    openai = error_objects.openai_object(leaf_of(leaf), ID)
    anthropic = error_objects.messages_object(leaf_of(leaf), ID)
    assert (openai["type"], openai["code"], anthropic["error"]["type"]) == WORDS[leaf]


def test_statuses_that_packages_send_again_are_those_that_may_pass() -> None:
    """408, 409, 429 and 500 and above are tried twice more by both packages."""
    again = {leaf for leaf in LEAVES if leaf.status in (408, 409, 429) or leaf.status >= 500}
    names = {leaf.__name__ for leaf in again}
    assert names == {
        "RequestTimeout",
        "RequestAborted",
        "OutOfCapacity",
        "EngineDied",  # an InternalError
        "InsufficientStorage",
        # Refused before a path is known, so never in these shapes.
        "TooManyConnections",
        "TransferCodingUnknown",
    }


def bodies(error: ApiError) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """As an answer, and as the end of a stream: OpenAI's, then Anthropic's."""
    yield (
        orjson.loads(bytes(error_objects.openai_failure(error, ID).body)),
        orjson.loads(bytes(error_objects.messages_failure(error, ID).body)),
    )
    yield (
        orjson.loads(error_objects.openai_error(error, ID).removeprefix(b"data: ")),
        orjson.loads(error_objects.messages_error(error, ID).removeprefix(b"event: error\ndata: ")),
    )


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_every_leaf_is_what_the_packages_types_say(leaf: type[ApiError]) -> None:
    error = leaf_of(leaf)
    for openai, anthropic in bodies(error):
        described = ErrorObject.model_validate(openai["error"], strict=True, extra="forbid")
        assert openai["error"].keys() == {"message", "type", "param", "code"}
        assert described.message == openai["errors"][0]["message"] == error.message(ID)
        assert anthropic["errors"] == openai["errors"] == [{"message": error.message(ID), "code": leaf.code}]
        TypeAdapter(AnthropicObject).validate_python(anthropic["error"], strict=True, extra="forbid")
        assert anthropic["error"]["message"] == described.message
        assert (anthropic["type"], anthropic["request_id"]) == ("error", ID)


def test_a_failing_response_is_a_numbered_event_of_its_own() -> None:
    name, data, *_ = error_objects.responses_error(InternalError(), ID, 7).decode().split("\n")
    event = orjson.loads(data.removeprefix("data: "))
    own = {key: value for key, value in event.items() if key not in ("errors", "error")}
    ResponseErrorEvent.model_validate(own, strict=True, extra="forbid")
    assert (name, event["type"], event["sequence_number"]) == ("event: error", "error", 7)
    assert event["error"] == error_objects.openai_object(InternalError(), ID)
    assert event["errors"][0]["code"] == 3043
