"""The one shape of every JSON answer: `result`, `success`, `errors`, `messages`, and nothing else decides it."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.responses import Response

from app.errors import ApiError, OutOfCapacity, PlatformError, RequestTimeout, RequestTooLarge

REQUEST_ID_HEADER = "cf-ai-req-id"
HINT_CODE = 1000


class JsonResponse(Response):
    """`Content-Type: application/json` exactly: the env.AI binding takes anything else for a stream."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def success(result: Any, request_id: str, hints: Sequence[str] = ()) -> JsonResponse:
    """200 with `hints` (one sentence each) as `messages`."""
    messages = [{"code": HINT_CODE, "message": hint} for hint in hints]
    body = {"result": result, "success": True, "errors": [], "messages": messages}
    return JsonResponse(body, headers={REQUEST_ID_HEADER: request_id})


def error_items(error: ApiError, request_id: str) -> list[dict[str, Any]]:
    return [{"message": error.message(request_id), "code": error.code}]


def failure(error: ApiError, request_id: str) -> JsonResponse:
    """The envelope of an error. Key order and the empty `result` are Workers AI's (null before the model layer)."""
    headers = {}
    if isinstance(error, OutOfCapacity):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, RequestTimeout | RequestTooLarge):
        headers["connection"] = "close"  # part of the body may still be on its way
    errors = error_items(error, request_id)
    body: dict[str, Any] = {"result": None, "success": False, "errors": errors, "messages": []}
    if not isinstance(error, PlatformError):
        headers[REQUEST_ID_HEADER] = request_id
        body = {"errors": errors, "success": False, "result": {}, "messages": []}
    return JsonResponse(body, error.status, headers)
