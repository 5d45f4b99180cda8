"""The one shape of every JSON answer: `result`, `success`, `errors`, `messages`, and nothing else decides it.

`raised_as` makes what an operator would read on the terminal an answer to a client.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from app.catalog.search import Page
from app.errors import (
    AdapterRefused,
    AiError,
    ApiError,
    FinetuneRefused,
    InsufficientStorage,
    InternalError,
    MethodNotAllowed,
    OperatorError,
    OutOfCapacity,
    PlatformError,
    RequestTimeout,
    RequestTooLarge,
    StartupError,
    StorageError,
)

REQUEST_ID_HEADER = "cf-ai-req-id"
NO_MORE: Mapping[str, Any] = MappingProxyType({})
HINT_CODE = 1000

Failure = Callable[[ApiError, str], Response]
"""How an error looks to the client: made of the error and the request id."""

ErrorEvent = Callable[[ApiError, str], bytes]
"""The same for an error inside a stream: its last event."""

log = logging.getLogger(__name__)


class JsonResponse(Response):
    """`Content-Type: application/json` exactly: the env.AI binding takes anything else for a stream."""

    media_type = "application/json"

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Made by hand, because this is on every request's path: Starlette looks for headers that may be there."""
        self.status_code = status
        self.background = None
        self.body = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)  # a shell's prompt begins a line
        own = {"content-length": str(len(self.body)), "content-type": self.media_type, **(headers or {})}
        self.raw_headers = [(name.encode(), text.encode()) for name, text in own.items()]


def success(
    result: Any, request_id: str, hints: Sequence[str] = (), *, page: Page[Any] | None = None
) -> JsonResponse:
    """200 with `hints` (one sentence each) as `messages`; `page` is the one that a list in `result` shows."""
    messages = [{"code": HINT_CODE, "message": hint} for hint in hints]
    body = {"result": result, "success": True, "errors": [], "messages": messages}
    if page is not None:
        body["result_info"] = {
            "count": len(page.items),
            "page": page.number,
            "per_page": page.per_page,
            "total_count": page.total_count,
        }
    return JsonResponse(body, headers={REQUEST_ID_HEADER: request_id})


def error_items(error: ApiError, request_id: str) -> list[dict[str, Any]]:
    return [{"message": error.message(request_id), "code": error.code}]


def error_event(error: ApiError, request_id: str) -> bytes:
    return b"data: " + orjson.dumps({"errors": error_items(error, request_id)}) + b"\n\n"


def failure_headers(error: ApiError) -> dict[str, str]:
    """What an error says beside its body, whatever the body's shape."""
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)  # RFC 9110, 15.5.6
    if isinstance(error, OutOfCapacity):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, RequestTimeout | RequestTooLarge):
        headers["connection"] = "close"  # part of the body may still be on its way
    return headers


def failure(error: ApiError, request_id: str, more: Mapping[str, Any] = NO_MORE) -> JsonResponse:
    """The envelope of an error, with `more` behind it.

    Key order and the empty `result` are Workers AI's (null before the model layer).
    """
    headers = failure_headers(error)
    errors = error_items(error, request_id)
    body: dict[str, Any] = {"result": None, "success": False, "errors": errors, "messages": []}
    if not isinstance(error, PlatformError):
        headers[REQUEST_ID_HEADER] = request_id
        body = {"errors": errors, "success": False, "result": {}, "messages": []}
    return JsonResponse({**body, **more}, error.status, headers)


@contextmanager
def raised_as(leaf: Callable[[str], AiError]) -> Iterator[None]:
    """Raises `FinetuneRefused`, `InsufficientStorage`, `InternalError` or else `leaf` in place of an `OperatorError`."""
    try:
        yield
    except AdapterRefused as error:
        raise FinetuneRefused(str(error)) from error
    except StartupError as error:  # about this machine, and not for strangers
        log.error("%s", error)
        raise InternalError from error
    except StorageError as error:
        log.warning("%s", f"{error}: {error.figures}" if error.figures else error)
        raise InsufficientStorage(str(error)) from error
    except OperatorError as error:
        raise leaf(str(error)) from error
