"""A request's body: read within limits of bytes and patience, parsed as JSON whatever the Content-Type says."""

import asyncio
from collections.abc import AsyncIterator
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


async def stream_body(request: Request, slow_sender_s: float, piece_bytes: int) -> AsyncIterator[bytes]:
    """The body in pieces of about `piece_bytes`, as they arrive. Raises RequestTimeout or ClientLeft."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await _receive(request, slow_sender_s)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
        if size >= piece_bytes or not more:
            yield b"".join(chunks)
            chunks, size = [], 0


def declared_bytes(request: Request) -> int:
    """What Content-Length says, 0 without one."""
    declared = request.headers.get("content-length", "0")
    return int(declared[:MAX_LENGTH_DIGITS]) if declared.isdecimal() else 0


async def _receive(request: Request, patience_s: float) -> dict[str, Any]:
    """One message. By hand what `asyncio.timeout` does in four times the time, and this is on every request's path."""
    task = asyncio.current_task()
    assert task is not None
    overdue = False

    def give_up() -> None:
        nonlocal overdue
        overdue = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(patience_s, give_up)
    try:
        message = await request.receive()
        if overdue:  # both at once: the cancellation is under way and must arrive here, not later
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        if overdue and task.uncancel() == 0:
            raise RequestTimeout(patience_s) from None
        raise
    finally:
        timer.cancel()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return dict(message)
