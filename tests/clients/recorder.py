"""A server on loopback that keeps what it is asked. It answers in given pieces, or passes everything on."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import httpx

EVENTS = "text/event-stream"
PAUSE_S = 0.02  # so that each piece arrives by itself
NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


class ParsedRequest(NamedTuple):
    """`path` without escapes; `headers` by lower-case name; `body` from JSON."""

    path: str
    headers: dict[str, str]
    body: Any


class Answer(NamedTuple):
    status: int
    content_type: str
    pieces: Iterator[bytes]


Respond = Callable[[str, dict[str, str], bytes], Answer]
"""From a request's path, headers and body."""


@dataclass
class Recorder:
    """`with Recorder(respond, token) as recorder` listens at `recorder.url`."""

    respond: Respond
    token: str = "recorded"
    asked: list[ParsedRequest] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = b"".join(_body(self))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.asked.append(ParsedRequest(unquote(self.path), headers, json.loads(body)))
                answer = recorder.respond(self.path, headers, body)
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.end_headers()
                for piece in answer.pieces:
                    self.wfile.write(piece)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


def _body(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    if handler.headers.get("transfer-encoding") != "chunked":
        yield handler.rfile.read(int(handler.headers["content-length"]))
        return
    while size := int(handler.rfile.readline(), 16):
        yield handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()


def in_pieces(pieces: Sequence[bytes], content_type: str = EVENTS) -> Respond:
    def slowly() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            time.sleep(PAUSE_S)

    return lambda path, headers, body: Answer(200, content_type, slowly())


def passed_on(url: str) -> Respond:
    """To the server at `url`."""

    def respond(path: str, headers: dict[str, str], body: bytes) -> Answer:
        kept = {name: value for name, value in headers.items() if name not in NOT_PASSED_ON}
        answer = httpx.post(url + path, headers=kept, content=body, timeout=30)
        return Answer(answer.status_code, answer.headers["content-type"], iter([answer.content]))

    return respond
