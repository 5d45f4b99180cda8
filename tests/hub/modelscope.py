"""A server on loopback that speaks the part of ModelScope's HTTP API that downloads of its own client use.

The list of a repository's files as JSON, and each file's bytes, from a byte on where the client asks for it.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Scope:
    """Repositories by name, each with its files by revision. `asked` are the files' names with the ranges."""

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    """Bytes of a body after which the connection is cut, one for each of the next answers."""
    corrupt: set[str] = field(default_factory=set)
    """Files whose bytes differ from what their checksum says."""
    html: bool = False
    """Answers everything as a hotel's network does before one has logged in."""
    url: str = ""


@contextmanager
def serving(scope: Scope) -> Iterator[Scope]:
    class Handler(_Handler):
        pass

    Handler.scope = scope
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scope.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield scope
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    scope: Scope
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        words = {name: values[0] for name, values in parse_qs(url.query).items()}
        if self.scope.html:
            self._answer(200, b"<html>log in</html>", {"Content-Type": "text/html"})
            return
        match url.path.split("/"):
            case ["", "api", "v1", "models", owner, name, "repo", "files"]:
                self._list(self._files(f"{owner}/{name}", words))
            case ["", "api", "v1", "models", owner, name, "repo"]:
                self._file(words["FilePath"], self._files(f"{owner}/{name}", words))
            case _:
                self._json(404, {"Code": 404, "Message": "not found", "Success": False})

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _files(self, repository: str, words: dict[str, str]) -> dict[str, bytes] | None:
        return self.scope.repositories.get(repository, {}).get(words["Revision"])

    def _list(self, files: dict[str, bytes] | None) -> None:
        if files is None:
            self._json(404, {"Code": 10010205001, "Message": "record not found", "Success": False})
            return
        entries = [
            {"Path": path, "Name": path, "Type": "blob", "Size": len(data), "Sha256": _sha256(data)}
            for path, data in files.items()
        ]
        self._json(200, {"Code": 200, "Data": {"Files": entries}, "Success": True})

    def _file(self, name: str, files: dict[str, bytes] | None) -> None:
        asked = self.headers["Range"]
        self.scope.asked.append((name, asked))
        assert files is not None
        data = files[name]
        if name in self.scope.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        part = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if asked else {}
        cut = self.scope.cut_after.pop(0) if self.scope.cut_after else len(data)
        self._answer(206 if asked else 200, data[start:], part, cut)

    def _json(self, status: int, value: object) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None or self.close_connection


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
