"""A request's body: read within limits of bytes and patience, parsed as JSON whatever the Content-Type says."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.types import Message

from app.concurrency import deadline
from app.errors import IncompleteRequest, RequestTimeout, RequestTooLarge
from app.http import json_faults
from app.http.body_room import BodyRoom, Held
from app.http.connection import ClientLeft, connection_of
from app.http.json_bounds import check_json_bounds
from app.http.request_values import header

# A client that is told 413 while it still sends would see a reset instead of the answer; so that much is read and
# thrown away first.
DISCARD_MAX_BYTES = 64_000_000
UNCOUNTED_BYTES = 65_536  # a body that came whole: its connection has held as much before
MAX_LENGTH_DIGITS = 20


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`max_bytes` of body, within `room`; `slow_sender_s` without a byte or `deadline_s` in all end it, in seconds."""

    max_bytes: int
    slow_sender_s: float
    deadline_s: float
    room: BodyRoom


def parse_json(body: bytes) -> Any:
    """The body's JSON value. Raises IncompleteRequest, which says what is wrong and where, or RequestTooLarge."""
    check_json_bounds(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_mended(body)


def _parse_mended(body: bytes) -> Any:
    """Valid JSON that the parser does not take, or the fault."""
    for mend in (json_faults.mended, json_faults.within_range):
        body = mend(body)
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise IncompleteRequest(f"valid JSON: {json_faults.fault(body, error)}") from None


async def read_body(request: Request, limits: BodyLimits, held: Held) -> bytes:
    """The whole body, with its room taken. Raises RequestTooLarge, RequestTimeout, OutOfCapacity or ClientLeft."""
    declared = header(request.scope, b"content-length") or "0"
    if len(declared) > MAX_LENGTH_DIGITS or (
        declared.isdecimal() and int(declared) > _patience_bytes(limits)
    ):
        raise RequestTooLarge(limits.max_bytes)
    if connection_of(request.scope).is_whole():
        return await _collect(request, limits, held)
    async with deadline(limits.deadline_s, RequestTimeout):
        return await _collect(request, limits, held)


async def _collect(request: Request, limits: BodyLimits, held: Held) -> bytes:
    patience_bytes = _patience_bytes(limits)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more and size <= patience_bytes:
        message = await _receive(request, limits.slow_sender_s)
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(chunk)
        if size <= limits.max_bytes:
            if more or size > UNCOUNTED_BYTES:
                held.grow(len(chunk))
            chunks.append(chunk)
        else:
            held.release()
            chunks.clear()
    if size > limits.max_bytes:
        raise RequestTooLarge(limits.max_bytes)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _patience_bytes(limits: BodyLimits) -> int:
    return max(DISCARD_MAX_BYTES, limits.max_bytes)


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
    declared = header(request.scope, b"content-length") or "0"
    return int(declared[:MAX_LENGTH_DIGITS]) if declared.isdecimal() else 0


async def _receive(request: Request, patience_s: float) -> Message:
    """One message of the body."""
    if connection_of(request.scope).is_whole():
        message = await request.receive()  # it is here: there is nothing to be patient with
    else:
        async with deadline(patience_s, RequestTimeout):
            message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    return message
