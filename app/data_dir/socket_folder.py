"""A private folder for the Unix sockets of a server's own processes.

It has one name for each data directory, so that the next start finds what a killed server left and takes it away. It is
not in the data directory itself, because a socket's whole name has 107 bytes at most.
"""

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from app.errors import StartupError
from app.files import PRIVATE_FOLDER_MODE

PARENT: Final = "/tmp"  # noqa: S108  ours alone: made with mode 0700, and refused when it is somebody else's
DIGEST_CHARS: Final = 16
VLLM_VARIABLE: Final = "VLLM_RPC_BASE_PATH"


@dataclass(frozen=True, slots=True)
class SocketFolder:
    """Made and removed by the one server that holds the lock of the data directory."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path, parent: Path = Path(PARENT)) -> Self:
        digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:DIGEST_CHARS]
        return cls(parent / f"outworker-{os.getuid()}-{digest}")

    def make(self) -> None:
        """Empty. Raises `StartupError` when something of that name is somebody else's."""
        try:
            self.remove()
            self.path.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
            found = self.path.lstat()
        except OSError as error:
            raise StartupError(f"{self.path}: {error.strerror}; make {self.path.parent} writable") from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o77:
            raise StartupError(f"{self.path}: belongs to somebody else; have it removed")

    def remove(self) -> None:
        """With all sockets in it. None there is fine, and a link is not followed."""
        shutil.rmtree(self.path, ignore_errors=True)

    def export(self) -> None:
        """Let vLLM put its sockets there, unless the operator exported another place."""
        os.environ.setdefault(VLLM_VARIABLE, str(self.path))
