"""An adapter's files while an engine reads them: they may be deleted at any moment, which is nobody's fault."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from app.errors import ApiError, FinetuneNotFound, InternalError
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE
from app.types import StoredAdapter

ASSETS: Final = (CONFIG_FILE, WEIGHTS_FILE)
TRIES: Final = 3
"""Somebody may delete an adapter and add the same again while it is read. More often than this nobody does."""

FileIds = tuple[tuple[int, int, int], ...]

log = logging.getLogger(__name__)


def file_ids(folder: Path) -> FileIds | None:
    """Which two files an adapter's folder has; None when one is missing."""
    try:
        found = [(folder / name).stat() for name in ASSETS]
    except OSError:
        return None
    return tuple((status.st_dev, status.st_ino, status.st_ctime_ns) for status in found)


async def load_stored(stored: StoredAdapter, load: Callable[[], Awaitable[None]]) -> None:
    """Run `load`, which reads the adapter's folder and leaves nothing behind when it fails.

    Raises `FinetuneNotFound` when the files were deleted before or meanwhile, `InternalError` with the cause in the log
    when they can't be loaded, and the `ApiError` of `load` itself.
    """
    for _ in range(TRIES):
        before = await asyncio.to_thread(file_ids, stored.folder)
        if before is None:
            break
        try:
            return await load()
        except ApiError:
            raise
        except Exception as cause:  # whatever vLLM's worker, peft, safetensors or llama.cpp raise
            if await asyncio.to_thread(file_ids, stored.folder) == before:
                log.exception("adapter %s could not be loaded", stored.engine_name)
                raise InternalError from cause
    raise FinetuneNotFound(stored.id)
