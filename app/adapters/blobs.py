"""What the adapters' store asks of the place where bytes lie. `app.adapters.local_blobs` is the one on a disk.

A stored folder has `adapter_config.json` and `adapter_model.safetensors`, and is named by its account and its digest. A
draft's assets are named by the draft's id and the sha256 of their bytes. Methods block and raise `OSError`.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    def lock(self) -> AbstractContextManager[None]:
        """Hold while files move, with the rows that go with them; waits for other processes."""

    def staged(self) -> AbstractContextManager[Path]:
        """A new empty folder on a local disk; what is left in it goes at the end."""

    def folder(self, account_id: str, digest: str) -> Path:
        """Where an engine reads a stored folder, whether or not it is there."""

    def complete(self, folder: Path) -> bool:
        """Whether both files are there."""

    def commit(self, staged: Path, account_id: str, digest: str) -> Path:
        """Make a sealed folder the stored one in one step. One that is there and whole stays as it is."""

    def remove(self, account_id: str, digest: str) -> None:
        """Take a stored folder away in one step, then delete it. None there is fine."""

    def put_asset(self, draft_id: str, sha256: str, file: Path) -> None:
        """Move a durable file out of a staged folder to a draft's assets."""

    def keep_assets(self, draft_id: str, sha256s: Iterable[str]) -> None:
        """Delete the draft's assets but these: one was sent again."""

    def link(self, draft_id: str, config_sha256: str, weights_sha256: str, staged: Path) -> None:
        """Both assets of a draft under their file names in `staged`; the draft keeps its own.

        Raises `FileNotFoundError` when the draft was removed meanwhile.
        """

    def remove_draft(self, draft_id: str) -> None:
        """Delete a draft's assets. None there is fine."""

    def sweep(self, drafts: Iterable[str]) -> None:
        """Delete what killed processes left: staged folders that nobody holds, assets of none of `drafts`."""
