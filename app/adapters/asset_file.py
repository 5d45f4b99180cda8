"""An asset on its way in: streamed to a file of its own, hashed while it is written."""

import hashlib
import os
from pathlib import Path

from app.adapters.disk import check_room, disk_errors
from app.adapters.inspection.config import CONFIG_MAX_BYTES
from app.adapters.inspection.safetensors_header import WEIGHTS_FILE_LIMIT_BYTES
from app.errors import RequestTooLarge
from app.files import PRIVATE_FILE_MODE
from app.model_files.lora import CONFIG_FILE

ROOM_CHECK_BYTES = 16_000_000


class AssetFile:
    """A new file in the staged folder `staged`. Methods block: call from a thread.

    `min_free_bytes` must stay free on the disk. Which asset it is may be known only at the end.
    """

    def __init__(self, staged: Path, min_free_bytes: int) -> None:
        self.path = staged / "asset"
        self.size_bytes = 0
        self._digest = hashlib.sha256()
        self._min_free_bytes = min_free_bytes
        self._room_checked_bytes = 0
        with disk_errors():
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
            self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes) -> None:
        """Raises `RequestTooLarge` and `StorageError`."""
        self.size_bytes += len(data)
        if self.size_bytes >= WEIGHTS_FILE_LIMIT_BYTES:
            raise RequestTooLarge(WEIGHTS_FILE_LIMIT_BYTES, "the file must have fewer than")
        with disk_errors():
            self._check_room()
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        self._digest.update(data)

    def _check_room(self) -> None:
        if self.size_bytes > self._room_checked_bytes:
            check_room(self.path.parent, ROOM_CHECK_BYTES, self._min_free_bytes)
            self._room_checked_bytes = self.size_bytes + ROOM_CHECK_BYTES

    def finish(self, file_name: str) -> str:
        """Make the bytes durable; their sha256 in hexadecimal. Raises `RequestTooLarge` and `StorageError`."""
        if file_name == CONFIG_FILE and self.size_bytes > CONFIG_MAX_BYTES:
            raise RequestTooLarge(CONFIG_MAX_BYTES, f"{CONFIG_FILE} must have at most")
        with disk_errors():
            os.fsync(self._file.fileno())
            self._file.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Also when it was never finished."""
        self._file.close()
