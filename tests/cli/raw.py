"""A server on loopback that answers bytes of a test's choice, right or wrong."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader

import orjson

TLS_HANDSHAKE = b"\x16"
Answer = Callable[["Request"], bytes]


@dataclass
class Request:
    """`head` is the request line and headers, `body` what Content-Length announced (its first MB)."""

    head: str
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.splitlines()[0]


@dataclass
class RawServer:
    """`requests` in the order of their heads. `last` ends what still waits in an answer."""

    url: str
    requests: list[Request] = field(default_factory=list)
    last: threading.Event = field(default_factory=threading.Event)
    came: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@contextmanager
def raw_server(answer: Answer | bytes) -> Iterator[RawServer]:
    """Every request is answered with `answer`'s bytes on a connection of its own, which then closes."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            assert isinstance(self.rfile, BufferedReader)
            if self.rfile.peek(1)[:1] == TLS_HANDSHAKE:
                return
            while not head.endswith(b"\r\n\r\n"):
                if not (line := self.rfile.readline()):
                    return
                head += line
            request = Request(head.decode())
            raw.requests.append(request)
            raw.came.release()
            request.body = self._body(request.head.lower())
            data = answer if isinstance(answer, bytes) else answer(request)
            try:
                self.wfile.write(data)
            except ConnectionError:
                return

        def _body(self, head: str) -> bytes:
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
            kept = b""
            while length and (piece := self.rfile.read1(min(length, 65536))):
                length -= len(piece)
                kept += piece if len(kept) < 1_000_000 else b""
            return kept

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        raw = RawServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield raw
        finally:
            raw.last.set()
            server.shutdown()
            thread.join()


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
    return head.encode() + body


def ok(result: object, *notes: str) -> bytes:
    messages = [{"code": 1000, "message": note} for note in notes]
    return http(orjson.dumps({"result": result, "success": True, "errors": [], "messages": messages}))


def refusal(status: str, code: int, message: str, headers: str = "") -> bytes:
    errors = [{"message": message, "code": code}]
    body = {"errors": errors, "success": False, "result": {}, "messages": []}
    return http(orjson.dumps(body), status, headers)
