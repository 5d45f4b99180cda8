"""The dialect of a Worker's env.AI binding: no envelope, the model in a header, errors in a shape of their own."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from app.catalog import error_texts
from app.catalog.refusals import plain_refusal
from app.errors import AiError, ApiError, BadInput, IncompleteRequest
from app.http.dialect import ParsedRequest
from app.http.dialects.native import NativeReply
from app.http.envelope import REQUEST_ID_HEADER, JsonResponse, failure_headers
from app.http.padding import Padding

MODEL_HEADER = "cf-consn-model-id"
NO_STREAM_INPUT = "Error: Type mismatch of '/inputs', a model of text takes JSON and no ReadableStream"
NO_WEBSOCKET = "Error: '/options/websocket' must be false: ask for a stream instead"
NO_QUEUE = "Error: '/options/queueRequest' must be false: this server answers at once and has no queue"
REFUSED_OPTIONS: Mapping[str, str] = MappingProxyType({"websocket": NO_WEBSOCKET, "queueRequest": NO_QUEUE})


def model_of(headers: Mapping[str, str]) -> str:
    """The model's name; `options.prefix` of the binding stands before it and a colon, and means nothing here.

    Raises IncompleteRequest.
    """
    value = headers.get(MODEL_HEADER, "")
    if not value:
        raise IncompleteRequest(f"the header {MODEL_HEADER}")
    prefix, _, name = value.partition(":")
    return name if name.startswith("@") and not prefix.startswith("@") else value


class BindingDialect:
    """Parses; the same object answers every request."""

    def __init__(self, padding: Padding) -> None:
        self._reply = BindingReply(padding)

    def parse(self, model: str, body: Any) -> ParsedRequest:
        """`{"inputs", "options"}`. Raises BadInput in the validator's words.

        `options.lora` stands in for inputs without `lora`, as the query's does elsewhere: workers-ai-provider sends it.
        `options.gateway` and `options.rejectIfBusy` change nothing: there is no gateway, and a busy server refuses.
        """
        if not isinstance(body, dict) or "inputs" not in body:
            raise plain_refusal(error_texts.missing((), ("inputs",)))
        options = body.get("options") or {}
        if not isinstance(options, dict):
            raise plain_refusal(error_texts.wrong_type(("options",), "object", options))
        for option, refusal in REFUSED_OPTIONS.items():
            if options.get(option):
                raise BadInput(refusal)
        lora = options.get("lora")
        if lora is not None and not isinstance(lora, str):
            raise plain_refusal(error_texts.wrong_type(("options", "lora"), "string", lora))
        return ParsedRequest(model, body["inputs"], self._reply, lora)


class BindingReply(NativeReply):
    """What the native dialect has as `result`, alone: there is no place for hints."""

    def response(self, result: Any, request_id: str, hints: Sequence[str]) -> Response:
        return JsonResponse(result, headers={REQUEST_ID_HEADER: request_id})


def binding_failure(error: ApiError, request_id: str) -> JsonResponse:
    """The binding throws `<internalCode>: <description>` with this `name` (protocol notes, section 4.2)."""
    message = error.message(request_id)
    if not isinstance(error, AiError):
        message = f"AiError: {message} ({request_id})"
    body = {
        "name": "AiError",
        "internalCode": error.code,
        "httpCode": error.status,
        "message": message,
        "description": str(error),
        "requestId": request_id,
    }
    headers = {**failure_headers(error), REQUEST_ID_HEADER: request_id}
    return JsonResponse(body, error.status, headers)
