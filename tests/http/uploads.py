"""A server whose base is so small that an adapter is a few kilobytes, and clients that upload to it."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from app.adapters.lifecycle import Finetunes
from app.engines.engine import LeasedAdapter
from app.engines.fake import FakeEngine
from app.inference.prompt import PromptBuilder
from app.settings import Settings
from app.types import StoredAdapter
from tests.adapters.make import TINY, good
from tests.conftest import HF, Served, running
from tests.http.forms import ASSET_END, CONTENT_TYPE, asset_form, asset_start, files_of

PATIENCE_S = 5
WEIGHTS = "stand-in"
BASES = {WEIGHTS: lambda: replace(TINY, name=WEIGHTS)}
ACCOUNTS = "/client/v4/accounts"
BASE_CONFIG = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__ if name != "name"}


class RecordingEngine(FakeEngine):
    """Remembers the id of every adapter that came near it."""

    def __init__(self) -> None:
        super().__init__()
        self.leased: list[str] = []

    def lease(self, adapter: StoredAdapter) -> AbstractAsyncContextManager[LeasedAdapter]:
        self.leased.append(adapter.id)
        return super().lease(adapter)


def tiny_base(folder: Path) -> Path:
    """A model folder with nothing but the configuration of `TINY`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(BASE_CONFIG))
    return folder


@dataclass
class Uploads:
    """One account's client of a server."""

    served: Served
    account: str = "local"
    token: str = ""

    def finetunes(self) -> Finetunes:
        """What the server works with."""
        return self.served.stores.finetunes

    def path(self, named: str = "", end: str = "") -> str:
        return f"{ACCOUNTS}/{self.account}/ai/finetunes{f'/{named}' if named else ''}{end}"

    def other(self, account: str, scope: str = "ai:write") -> "Uploads":
        return Uploads(self.served, account, self.served.stores.tokens.create(account, [scope])[1])

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token or self.served.token}"} | options.pop("headers", {})
        return await self.served.client.request(method, path, headers=headers, **options)

    async def create(self, name: str, **more: Any) -> str:
        """The new one's id."""
        answer = await self.call("POST", self.path(), json={"model": HF, "name": name, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["result"]["id"])

    async def post(self, named: str, content: Any, content_type: str | None = CONTENT_TYPE) -> httpx.Response:
        headers = {} if content_type is None else {"content-type": content_type}
        return await self.call("POST", self.path(named, "/finetune-assets"), content=content, headers=headers)

    async def send(self, named: str, file_name: str, data: bytes) -> httpx.Response:
        return await self.post(named, asset_form(file_name, data))

    async def ready(self, name: str, **more: Any) -> str:
        """Create one and send a good adapter; its id."""
        new = await self.create(name, **more)
        for file_name, data in files_of(good()).items():
            answer = await self.send(new, file_name, data)
            assert answer.status_code == 200, answer.text
        return new

    async def show(self, named: str) -> dict[str, Any]:
        answer = await self.call("GET", self.path(named))
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["result"])

    async def run(self, lora: str) -> httpx.Response:
        path = f"{ACCOUNTS}/{self.account}/ai/run/{HF}"
        return await self.call("POST", path, json={"prompt": "a", "lora": lora})

    @asynccontextmanager
    async def connected(
        self, named: str, length: int | None, *more: str
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection on which the head of an upload was sent; without `length` the body is chunked."""
        size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        async with connection(self.served.url) as (reader, writer):
            writer.write(self.head(self.path(named, "/finetune-assets"), size, *more))
            yield reader, writer

    def head(self, path: str, *more: str) -> bytes:
        """Of an upload, as no client library would write it."""
        lines = [
            f"POST {path} HTTP/1.1",
            "host: localhost",
            f"authorization: Bearer {self.token or self.served.token}",
            f"content-type: {CONTENT_TYPE}",
            *more,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answered(reader: asyncio.StreamReader) -> httpx.Response:
    """The answer on such a connection."""
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await reader.readexactly(int(headers["content-length"]))
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def uploads_to(
    settings: Settings, prompts: PromptBuilder, base: Path, engine: FakeEngine | None = None, **limits: Any
) -> AsyncIterator[Uploads]:
    """`limits` are those of the settings."""
    chosen = replace(settings, limits=replace(settings.limits, **limits))
    folder, served_by = tiny_base(base), engine or FakeEngine()
    async with running(chosen, served_by, prompts, folder, wait_ready=True, adapters=True) as served:
        yield Uploads(served)


def told(answer: httpx.Response) -> tuple[int, int]:
    """Status and code of a refusal, which has the shape that every one has and names no place of this machine."""
    body = answer.json()
    assert list(body) == ["errors", "success", "result", "messages"]
    assert (body["success"], body["result"], body["messages"]) == (False, {}, [])
    text = body["errors"][0]["message"]
    assert text.startswith("AiError: ")
    assert text.endswith(f"({answer.headers['cf-ai-req-id']})")
    assert text.isprintable()
    for place in ("/tmp", "/home", "outworker.db", ".incoming", ".drafts", "Traceback", "Errno"):
        assert place not in text
    return answer.status_code, body["errors"][0]["code"]


def said(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["message"])


def chunked(file_name: str, data: bytes, piece_bytes: int = 65536) -> AsyncIterator[bytes]:
    """The form in pieces: httpx sends it without a length."""

    async def pieces() -> AsyncIterator[bytes]:
        yield asset_start(file_name)
        for at in range(0, len(data), piece_bytes):
            yield data[at : at + piece_bytes]
        yield ASSET_END

    return pieces()


def left_in(data_dir: Path) -> set[str]:
    """What lies below the adapters' folder beside ready adapters: `.drafts/<id>/<sha256>` and `.incoming/<folder>`."""
    root = data_dir / "adapters"
    drafts = {str(path.relative_to(root)) for path in (root / ".drafts").rglob("*") if path.is_file()}
    return drafts | {f".incoming/{path.name}" for path in (root / ".incoming").glob("*")}


def stored(draft_id: str, data: bytes) -> str:
    """What `left_in` tells of an asset that was taken."""
    return f".drafts/{draft_id}/{hashlib.sha256(data).hexdigest()}"
