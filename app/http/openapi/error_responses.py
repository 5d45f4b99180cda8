"""Error answers of the document: for each status the codes of the tree in `app.errors`, in each of the four shapes."""

from collections.abc import Iterator
from enum import Enum
from http import HTTPStatus
from typing import Any

from app.errors import ApiError

PROTOCOL_STATUSES = frozenset({431, 501})  # refused before a path is known, and so before its shape is


class Shape(Enum):
    """The prefix of the answers' names, and of the schema that they share."""

    ENVELOPE = "Failure"
    OPENAI = "OpenAiFailure"
    ANTHROPIC = "AnthropicFailure"
    BINDING = "BindingFailure"


def name_of(status: int, shape: Shape) -> str:
    """The name of a status' answer under `components/responses`."""
    return f"{(Shape.ENVELOPE if status in PROTOCOL_STATUSES else shape).value}{status}"


def failure_responses() -> dict[str, Any]:
    """Every status of the tree in every shape, by name."""
    leaves = list(_leaves(ApiError))
    statuses = sorted({leaf.status for leaf in leaves})
    return {
        name_of(status, shape): _response(status, shape, [leaf for leaf in leaves if leaf.status == status])
        for status in statuses
        for shape in Shape
    }


def _leaves(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    below = kind.__subclasses__()
    if not below:
        yield kind
    for child in below:
        yield from _leaves(child)


def _response(status: int, shape: Shape, leaves: list[type[ApiError]]) -> dict[str, Any]:
    codes = sorted({leaf.code for leaf in leaves})
    if status in PROTOCOL_STATUSES:
        shape = Shape.ENVELOPE
    schema = {"allOf": [{"$ref": f"#/components/schemas/{shape.value}"}, _with_codes(shape, status, codes)]}
    headers = {"cf-ai-req-id": {"$ref": "#/components/headers/RequestId"}}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": "\n".join([HTTPStatus(status).phrase, "", *(f"- {_line(leaf)}" for leaf in leaves)]),
        "headers": headers,
        "content": {"application/json": {"schema": schema}},
    }


def _line(leaf: type[ApiError]) -> str:
    return f"{leaf.code}: {(leaf.__doc__ or leaf.__name__).splitlines()[0]}"


def _with_codes(shape: Shape, status: int, codes: list[int]) -> dict[str, Any]:
    if shape is Shape.BINDING:
        return {"properties": {"internalCode": {"enum": codes}, "httpCode": {"const": status}}}
    return {"properties": {"errors": {"items": {"properties": {"code": {"enum": codes}}}}}}
