"""`POST …/ai/finetunes/{id or name}/finetune-assets`: one file of an adapter, streamed to disk.

The parser, the hash and the disk work in threads of their own: 300 MB must not hold up the streams of others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app.adapters.asset_file import AssetFile
from app.adapters.finetune import Draft, state_of
from app.adapters.inspection.base_model import BaseShape
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.adapters.lifecycle import Finetunes
from app.database.tables import READY
from app.errors import (
    AssetNotTaken,
    IncompleteRequest,
    OperatorError,
    OutOfCapacity,
    RequestTimeout,
    RequestTooLarge,
)
from app.http.body import declared_bytes, stream_body
from app.http.connection import ClientLeft
from app.http.envelope import raised_as, success
from app.http.exchange import exchange_of
from app.http.multipart import AssetForm, boundary_of
from app.http.routes.finetunes import checked_asset_name, render_asset
from app.types import Caller

PIECE_BYTES = 512_000
# Beside the file itself: boundaries, part headers and the other part.
FORM_OVERHEAD_BYTES = 100_000
# A client that is refused while it sends would see a reset instead of the answer: so much is thrown away first.
DISCARD_MAX_BYTES = 2_000_000_000
DISCARD_MAX_S = 60.0
BUSY_RETRY_AFTER_S = 5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """`max_uploads` at once; `slow_sender_s` without a byte or `deadline_s` in all end one, in seconds.

    `min_free_bytes` stay free on the data directory's disk.
    """

    max_uploads: int
    slow_sender_s: float
    deadline_s: float
    min_free_bytes: int


class AssetHandler:
    """`bases` gives the base that an adapter of these weights is checked against."""

    def __init__(
        self, finetunes: Finetunes, bases: Mapping[str, Callable[[], BaseShape]], limits: UploadLimits
    ) -> None:
        self._finetunes = finetunes
        self._bases = bases
        self._limits = limits
        self._running = 0
        self._threads = ThreadPoolExecutor(limits.max_uploads, "upload")

    async def __call__(self, request: Request, caller: Caller) -> Response:
        named = request.path_params["finetune"]
        with self._slot(), raised_as(AssetNotTaken):
            draft = await self._aside(
                lambda: self._finetunes.draft_for_assets(caller.account_id, named, self._bases)
            )
            file_name, draft = await self._receive(request, draft)
            state, notes = await self._finish(draft)
        result = render_asset(draft, file_name, state)
        return success(result, exchange_of(request.scope).request_id, notes)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._running >= self._limits.max_uploads:
            why = f"{self._limits.max_uploads} uploads are running, which is the most at once."
            raise OutOfCapacity(why, BUSY_RETRY_AFTER_S)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def _receive(self, request: Request, draft: Draft) -> tuple[str, Draft]:
        """The asset's name, and the draft that has it now."""
        boundary = boundary_of(request)
        declared = declared_bytes(request)
        pieces = stream_body(request, self._limits.slow_sender_s, PIECE_BYTES)
        if declared > WEIGHTS_FILE_LIMIT_BYTES + FORM_OVERHEAD_BYTES:
            if "expect" not in request.headers:  # who asks first has not begun to send
                await self._discard(pieces)
            raise RequestTooLarge(WEIGHTS_FILE_LIMIT_BYTES, "the file must have fewer than")
        async with self._asset_file(declared) as asset_file:
            file_name = await self._read(pieces, AssetForm(boundary, asset_file.write))
            return file_name, await self._aside(lambda: self._finetunes.put(draft, file_name, asset_file))

    @asynccontextmanager
    async def _asset_file(self, declared: int) -> AsyncIterator[AssetFile]:
        opened = self._finetunes.asset_file(declared, self._limits.min_free_bytes)
        asset_file = await self._aside(opened.__enter__)
        try:
            yield asset_file
        finally:
            await self._aside(lambda: opened.__exit__(None, None, None))

    async def _read(self, pieces: AsyncIterator[bytes], form: AssetForm) -> str:
        """Feed the form to its end; the asset's name."""
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                async for piece in pieces:
                    await self._aside(partial(form.feed, piece))
        except TimeoutError:
            raise RequestTimeout(self._limits.deadline_s) from None
        except (RequestTooLarge, IncompleteRequest, OperatorError):
            await self._discard(pieces)
            raise
        return checked_asset_name(form.finish())

    async def _finish(self, draft: Draft) -> tuple[str, tuple[str, ...]]:
        """The state after this asset, with notes for the owner where it became ready."""
        if not draft.complete:
            return state_of(draft), ()
        base = self._bases[draft.weights]
        _, notes = await self._aside(lambda: self._finetunes.finish(draft, base()))
        return READY, notes

    async def _aside(self, work: Callable[[], T]) -> T:
        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])  # nobody may close a file under a thread that writes to it
            raise

    async def _discard(self, pieces: AsyncIterator[bytes]) -> None:
        """Read on, so that the client can finish sending and hear the answer; not for ever."""
        left = DISCARD_MAX_BYTES
        with suppress(RequestTimeout, ClientLeft, TimeoutError):
            async with asyncio.timeout(min(DISCARD_MAX_S, self._limits.deadline_s)):
                async for piece in pieces:
                    left -= len(piece)
                    if left < 0:
                        return
