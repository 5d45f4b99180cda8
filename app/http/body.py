"""A request's body: read within limits of bytes and patience, parsed as JSON whatever the Content-Type says."""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from app.errors import IncompleteRequest, RequestTimeout, RequestTooLarge
from app.http.disconnect import ClientLeft

# A client that is told 413 while it still sends would see a reset instead of the answer; so that much is read and
# thrown away first.
DISCARD_MAX_BYTES = 64_000_000
MAX_LENGTH_DIGITS = 20


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`max_bytes` of body; `slow_sender_s` seconds without a byte end the request."""

    max_bytes: int
    slow_sender_s: float


def parse_json(body: bytes) -> Any:
    """The body's JSON value. Raises IncompleteRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise IncompleteRequest("valid JSON") from None


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body. Raises RequestTooLarge, RequestTimeout or ClientLeft."""
    patience_bytes = max(DISCARD_MAX_BYTES, limits.max_bytes)
    declared = request.headers.get("content-length", "0")
    if len(declared) > MAX_LENGTH_DIGITS or (declared.isdecimal() and int(declared) > patience_bytes):
        raise RequestTooLarge(limits.max_bytes)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= patience_bytes:
        message = await _receive(request, limits.slow_sender_s)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limits.max_bytes:
            chunks.append(chunk)
        else:
            chunks.clear()
        more = message.get("more_body", False)
    if size > limits.max_bytes:
        raise RequestTooLarge(limits.max_bytes)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _receive(request: Request, patience_s: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(patience_s):
            message = await request.receive()
    except TimeoutError:
        raise RequestTimeout(patience_s) from None
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return dict(message)
