"""A server on loopback that speaks the part of the hub's HTTP API that downloads use.

Model info and tree as JSON, `resolve` with ETag, X-Repo-Commit and, for large files (LFS), a redirect to a second host,
with X-Linked-Etag and X-Linked-Size. What a test breaks is a field; what was asked is in `requests`.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

LFS = ("*.safetensors", "*.gguf", "*.llamafile")
TOKEN = "hf_a_token"


@dataclass(frozen=True)
class ParsedRequest:
    """One request that came. `host` is "hub" or "files", where large files come from."""

    host: str
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Hub:
    """Repositories by name, each with its files by revision. Lists what was asked."""

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    requests: list[ParsedRequest] = field(default_factory=list)
    cut_after: dict[str, list[int]] = field(default_factory=dict)
    """Bytes of a body after which the connection is cut, one for each of the next answers; 0 is none."""
    stall_after: dict[str, int] = field(default_factory=dict)
    """Bytes of a body after which nothing more comes, until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)
    declared_sizes: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    """Files whose bytes differ from what their checksum says."""
    etag: str | None = None
    """Of large files, instead of their checksum."""
    ignores_range: bool = False
    private: bool = False
    gated: bool = False
    status: int | None = None
    """Answers everything with it."""
    page: bytes | None = None
    """Answers everything with it as HTML, as a network does before one has logged in."""
    loops: bool = False
    """Answers everything with a redirect to itself."""
    url: str = ""
    files_url: str = ""

    def asked(self, path: str, method: str = "GET") -> list[ParsedRequest]:
        """Requests for the bytes of a file, wherever they come from."""
        wanted = [each for each in self.requests if each.path.endswith(path) and each.method == method]
        return [each for each in wanted if "/resolve/" not in each.path or not _is_lfs(path)]

    def commit(self, repository: str, revision: str) -> str:
        files = self.repositories[repository][revision]
        seed = json.dumps({name: _sha256(data) for name, data in files.items()}, sort_keys=True)
        return hashlib.sha1(seed.encode()).hexdigest()

    def files_at(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """By branch or commit, None where there is no such revision."""
        for branch, files in self.repositories[repository].items():
            if revision in (branch, self.commit(repository, branch)):
                return files
        return None


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Two listeners: the hub, and the host that it sends a client to for large files."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, host)) for host in ("hub", "files")]
    hub.url, hub.files_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def _handler(hub: Hub, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub, Handler.host = hub, host
    return Handler


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(self.path.partition("?")[0])
        asked = ParsedRequest(
            self.host, self.command, path, self.headers["Range"], self.headers["Authorization"]
        )
        self.hub.requests.append(asked)
        if self.hub.status is not None:
            self._refuse(self.hub.status, "")
        elif self.hub.page is not None:
            self._send(self.hub.page, "text/html")
        elif self.hub.loops:
            self._redirect(self.path)
        elif self.host == "files":
            self._file(path)
        elif path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            self._resolve(path)
        else:  # the client asks for news of itself
            self._refuse(404, "")

    def _file(self, path: str) -> None:
        owner, name, commit, file = path.removeprefix("/").split("/", 3)
        files = self.hub.files_at(f"{owner}/{name}", commit)
        assert files is not None
        self._bytes(file, files[file], {"ETag": f'"{_sha256(files[file])}"'})

    def _api(self, rest: str) -> None:
        owner, name, *more = rest.split("/")
        repository = f"{owner}/{name}"
        revision = more[1] if more else "main"
        files = self._files(repository, revision)
        if files is None:
            return
        if more and more[0] == "tree":
            self._json([self._entry(path, data) for path, data in files.items()])
        else:
            self._json({"id": repository, "sha": self.hub.commit(repository, revision), "siblings": []})

    def _entry(self, path: str, data: bytes) -> dict[str, Any]:
        size = self.hub.declared_sizes.get(path, len(data))
        entry: dict[str, Any] = {"type": "file", "path": path, "size": size, "oid": _git_blob(data)}
        if _is_lfs(path):
            entry["lfs"] = {"oid": _sha256(data), "size": size, "pointerSize": 134}
        return entry

    def _resolve(self, path: str) -> None:
        owner, name, _, revision, file = path.removeprefix("/").split("/", 4)
        repository = f"{owner}/{name}"
        files = self._files(repository, revision)
        if files is None:
            return
        if file not in files:
            self._refuse(404, "EntryNotFound")
            return
        branches = self.hub.repositories[repository]
        branch = next(name for name in branches if branches[name] is files)
        commit = self.hub.commit(repository, branch)
        data = files[file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_git_blob(data)}"'}
        if not _is_lfs(file):
            self._bytes(file, data, headers)
            return
        size = self.hub.declared_sizes.get(file, len(data))
        linked = {"X-Linked-Etag": f'"{self.hub.etag or _sha256(data)}"', "X-Linked-Size": str(size)}
        self._redirect(f"{self.hub.files_url}/{repository}/{commit}/{file}", headers | linked)

    def _files(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """None when the answer is a refusal, which is sent."""
        allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if repository not in self.hub.repositories or (self.hub.private and not allowed):
            self._refuse(401, "RepoNotFound")
        elif self.hub.gated and not allowed:
            self._refuse(401, "GatedRepo")
        else:
            files = self.hub.files_at(repository, revision)
            if files is None:
                self._refuse(404, "RevisionNotFound")
            return files
        return None

    def _bytes(self, file: str, data: bytes, headers: dict[str, str]) -> None:
        if file in self.hub.corrupt:
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = None if self.hub.ignores_range else self.headers["Range"]
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "GET":
            self._body(file, data[start:])

    def _body(self, file: str, body: bytes) -> None:
        cuts = self.hub.cut_after.get(file, [])
        cut = cuts.pop(0) if cuts else 0
        stall = self.hub.stall_after.get(file, 0)
        self.wfile.write(body[: cut or stall or len(body)])
        self.close_connection = bool(cut or stall) or self.close_connection
        if stall:
            self.hub.go_on.wait()

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _redirect(self, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(302)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Location", url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _is_lfs(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in LFS)


@cache
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def _git_blob(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
