"""Where a request ends, decided once: by its own head, and in chunks by their sizes, whatever Upgrade, Expect or TE say.

A head is kept until it is whole, so that it is read the same however its bytes were packed, and the parser is given one
message at a time, so that no byte of a body can be taken for the next request. Stricter than httptools where another
server or a proxy could read the same bytes otherwise: then the request is refused and the connection closed. What a
byte costs does not depend on what it is, nor on how much came before it.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import httptools

from app.errors import ApiError, HeadersTooLarge, MalformedHttp, MethodNotAllowed, TransferCodingUnknown
from app.http.chunks import Chunks

HEAD_END = b"\r\n\r\n"
MAX_LENGTH_DIGITS = 20
MAX_METHOD_BYTES = 32
LAST_CHUNK = b"0\r\n"

REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!-~]+) HTTP/1\.([01])\r\n")
LOOSE_LINE = re.compile(rb"[^ \r\n]{1,32} +([!-~]+)")
REQUEST_LINE_BEGUN = re.compile(rb"[A-Z-]{1,%d}(?: |\Z)" % MAX_METHOD_BYTES)
BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
TRANSFER_CODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:([^\r\n]*)", re.IGNORECASE)
ABSOLUTE_TARGET = re.compile(rb"https?://([^/?]+)", re.IGNORECASE)

FRAMING_FIELDS = frozenset((b"content-length", b"transfer-encoding"))
NOTED_FIELDS = FRAMING_FIELDS | {b"host", b"connection", b"expect"}

Field = tuple[bytes, bytes]
Noted = dict[bytes, list[bytes]]


@dataclass(slots=True)
class Head:
    """What a request says before its body. Names of `fields` are in lower case; `version` is "1.0" or "1.1".

    `awaits_continue`: the sender waits for 100 Continue before it sends the body.
    """

    method: str
    path: bytes
    query: bytes
    version: str
    fields: list[Field]
    keep_alive: bool
    awaits_continue: bool


class Sink(Protocol):
    """Who hears of the requests of a connection."""

    def begin_request(self, head: Head) -> None: ...
    def take_body(self, piece: bytes) -> None: ...
    def end_request(self) -> None: ...
    def is_full(self) -> bool:
        """Whether no more requests may begin now."""


class RequestReader:
    """Reads the requests of one connection. `closed` is set behind the last one: what comes then is nobody's."""

    def __init__(self, sink: Sink, max_header_bytes: int) -> None:
        self._sink = sink
        self._max_header_bytes = max_header_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._begun = bytearray()  # what has come of a head, or of the trailers
        self._has_line = False  # it has a whole request line, and that is one
        self._fields: list[Field] = []
        self._recording = self._complete = False
        self._keep_alive = True
        self._missing_bytes = 0  # of a body that does not come in chunks
        self._chunks: Chunks | None = None
        self._target = b""
        self.in_body = self.closed = False

    @property
    def target(self) -> bytes:
        """Of the request that is being read, empty while it is not known; of a refused line, what stands there."""
        return self._target or _loose_target(self._begun)

    @property
    def in_message(self) -> bool:
        """A request has begun to arrive, and not ended."""
        return self.in_body or bool(self._begun)

    def feed(self, data: bytes) -> bytes:
        """What is left because the sink is full: to be fed again, before what comes later.

        Raises the ApiError that refuses the connection: nothing may be fed after it.
        """
        at = 0
        while at < len(data) and not self.closed:
            if self._chunks is not None:
                at = self._feed_chunks(self._chunks, data, at)
            elif self.in_body:
                at = self._feed_body(data, at)
            elif self._sink.is_full():
                return data[at:]
            else:
                at = self._feed_head(data, at)
        return b""

    # The head

    def _feed_head(self, data: bytes, at: int) -> int:
        """Takes what belongs to the head and says where that ends."""
        known = len(self._begun)
        head, at = self._to_empty_line(data, at)
        if head:
            self._has_line = False
            self._read_head(head)
        else:
            self._check_begun(known)
        return at

    def _to_empty_line(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What has come, the empty line with it, or nothing while that is missing; and where what was taken ends."""
        found = data.find(HEAD_END, at)
        taken = data[at : found + len(HEAD_END) if found >= 0 else len(data)]
        if found >= 0 and not self._begun:
            return taken, found + len(HEAD_END)
        known = len(self._begun)
        self._begun += taken
        end = self._begun.find(HEAD_END, max(0, known - len(HEAD_END) + 1))
        if end < 0:
            return b"", len(data)
        end += len(HEAD_END)
        whole = bytes(self._begun[:end])
        self._begun.clear()
        return whole, at + end - known

    def _check_begun(self, known: int) -> None:
        """Refuses at once what can't become a request."""
        if len(self._begun) > self._max_header_bytes:
            raise HeadersTooLarge(self._max_header_bytes)
        if not self._has_line and not self._line_may_become(known):
            raise MalformedHttp("the request line must be METHOD /path HTTP/1.1")
        if BARE_LINE_FEED.search(self._begun, max(0, known - 1)):
            raise MalformedHttp("lines end in CR LF")

    def _line_may_become(self, known: int) -> bool:
        self._has_line = self._begun.find(b"\r\n", max(0, known - 1)) >= 0
        if self._has_line:
            return REQUEST_LINE.match(self._begun) is not None
        return known > MAX_METHOD_BYTES or REQUEST_LINE_BEGUN.match(self._begun) is not None

    def _read_head(self, raw: bytes) -> None:
        line = REQUEST_LINE.match(raw)
        self._target = line[2] if line is not None else _loose_target(raw)
        if len(raw) > self._max_header_bytes:
            raise HeadersTooLarge(self._max_header_bytes)
        if line is None:
            raise MalformedHttp("the request line must be METHOD /path HTTP/1.1")
        method, target, minor = line.groups()
        if method == b"CONNECT":
            raise MethodNotAllowed("CONNECT", ())
        self._parse_head(raw)
        noted = _noted(self._fields)
        length = _length(noted, minor)
        path, _, query = _origin_form(method, target, _host(noted, minor)).partition(b"?")
        self._keep_alive = self._keep_alive and minor == b"1" and not _has(noted, b"connection", b"close")
        if length is None:
            self._chunks = Chunks(self._max_header_bytes)
        else:
            self._missing_bytes = length
        self.in_body = length != 0
        awaits_continue = self.in_body and minor == b"1" and _has(noted, b"expect", b"100-continue")
        version = "1.1" if minor == b"1" else "1.0"
        self._sink.begin_request(
            Head(method.decode(), path, query, version, self._fields, self._keep_alive, awaits_continue)
        )
        if not self.in_body:
            self._end()

    def _parse_head(self, raw: bytes) -> None:
        """Has the parser read it, and where that means to leave HTTP behind (Upgrade) begins anew without."""
        self._fields = []
        self._recording, self._complete = True, False
        try:
            try:
                self._parser.feed_data(raw)
            except httptools.HttpParserUpgrade:
                self._parse_without_upgrade()  # only now is the body's framing checked
        except httptools.HttpParserError as error:
            raise _refusal(raw, error) from None
        finally:
            self._recording = False

    def _parse_without_upgrade(self) -> None:
        """RFC 9110, 7.8: an upgrade that is not taken is ignored, and the request read as any other.

        A parser that has seen one regards the body as another protocol's, and nothing changes its mind: a new one is
        told of the body's length alone.
        """
        self._recording, self._complete = False, False
        self._parser = httptools.HttpRequestParser(self)
        framing = [b"%b: %b\r\n" % field for field in self._fields if field[0] in FRAMING_FIELDS]
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")

    # The body

    def _feed_body(self, data: bytes, at: int) -> int:
        """Takes what belongs to a body of known length and says where that ends."""
        end = min(len(data), at + self._missing_bytes)
        self._missing_bytes -= end - at
        self._feed_parser(memoryview(data)[at:end])
        if self._complete:
            self._end()
        return end

    def _feed_chunks(self, chunks: Chunks, data: bytes, at: int) -> int:
        """The same of one in chunks. Of those the parser sees the last alone, with the trailers, when they are whole."""
        if not chunks.ended:
            piece, at = chunks.feed(data, at)
            if piece:
                self._sink.take_body(piece)
            if chunks.ended:
                self._begun += LAST_CHUNK
            return at
        known = len(self._begun)
        trailers, at = self._to_empty_line(data, at)
        if len(trailers or self._begun) > self._max_header_bytes:
            raise HeadersTooLarge(self._max_header_bytes)
        if trailers:
            self._chunks = None
            self._feed_parser(trailers)
            self._end()
        elif BARE_LINE_FEED.search(self._begun, max(0, known - 1)):
            raise MalformedHttp("lines end in CR LF")
        return at

    def _feed_parser(self, piece: bytes | memoryview) -> None:
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            raise _malformed(error) from None

    def _end(self) -> None:
        assert self._complete, "the parser and the head disagree on the body's length"
        self.in_body = False
        self._target = b""
        self.closed = not self._keep_alive
        self._sink.end_request()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self.in_body:
            raise MalformedHttp("a body is followed by something that is not a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._recording:  # a trailer must not pass for a header
            self._fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._recording:
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        self._sink.take_body(piece)

    def on_message_complete(self) -> None:
        self._complete = True


def _noted(fields: list[Field]) -> Noted:
    """The values of `NOTED_FIELDS` by name."""
    noted: Noted = {}
    for name, value in fields:
        if name in NOTED_FIELDS:
            noted.setdefault(name, []).append(value)
    return noted


def _length(noted: Noted, minor: bytes) -> int | None:
    """The body's bytes, None where it comes in chunks. That the two exclude each other the parser has seen to."""
    if codings := noted.get(b"transfer-encoding"):
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise TransferCodingUnknown
        if minor == b"0":
            raise MalformedHttp("HTTP/1.0 has no Transfer-Encoding")
        return None
    lengths = noted.get(b"content-length")
    if lengths and len(lengths[0]) > MAX_LENGTH_DIGITS:
        raise MalformedHttp(f"Content-Length has at most {MAX_LENGTH_DIGITS} digits")
    return int(lengths[0]) if lengths else 0


def _host(noted: Noted, minor: bytes) -> bytes:
    hosts = noted.get(b"host", ())
    if len(hosts) > 1 or (minor == b"1" and not hosts):
        raise MalformedHttp("HTTP/1.1 has exactly one Host header")
    return hosts[0] if hosts else b""


def _loose_target(raw: bytes | bytearray) -> bytes:
    """Says only how the refusal is written: such a request is never served."""
    loose = LOOSE_LINE.match(raw)
    return loose[1] if loose is not None else b""


def _origin_form(method: bytes, target: bytes, host: bytes) -> bytes:
    """Path and query. A target that names a host (RFC 9112, 3.2.2) must name the one of the Host header."""
    if b"#" in target:
        raise MalformedHttp("a request's target has no fragment")
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    absolute = ABSOLUTE_TARGET.match(target)
    if absolute is None:
        raise MalformedHttp("the request's target must begin with /")
    if absolute[1].lower() != host.lower():
        raise MalformedHttp("the request's target and its Host header name different hosts")
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _has(noted: Noted, name: bytes, token: bytes) -> bool:
    """Whether a header of that name has the token in its list."""
    if name not in noted:
        return False
    return any(token in (part.strip(b" \t") for part in value.lower().split(b",")) for value in noted[name])


def _refusal(raw: bytes, error: httptools.HttpParserError) -> ApiError:
    """What the parser refused in a head, where that was the transfer coding by its own name."""
    codings = [value.strip(b" \t").lower() for value in TRANSFER_CODING.findall(raw)]
    if codings and codings != [b"chunked"]:
        return TransferCodingUnknown()
    return _malformed(error)


def _malformed(error: httptools.HttpParserError) -> MalformedHttp:
    """With the parser's reason, a fixed text of its own, unless one of our callbacks was it."""
    if isinstance(error, httptools.HttpParserCallbackError):
        return MalformedHttp()
    return MalformedHttp(str(error))
