"""The adapters' bytes in local folders, because engines read files. The one module that knows where they lie.

<root>/<account>/<digest>/adapter_config.json, adapter_model.safetensors   whole and read-only
<root>/.drafts/<draft id>/                                                 assets of an unfinished adapter
<root>/.incoming/<random>/                                                 on its way in or out
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.files import READ_ONLY_MODE, folder_lock, private_folder, sync_folder
from app.model_files.lora import CONFIG_FILE, WEIGHTS_FILE

ADAPTERS_FOLDER = "adapters"
"""Of the data directory."""


class LocalBlobs:
    """Everything below `root`: `app.adapters.blobs.Blobs`, and what a backup asks of folders beside that."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / ".incoming"
        self._drafts = root / ".drafts"

    def folder(self, account_id: str, digest: str) -> Path:
        """Where an adapter lies, whether or not it does."""
        return self._root / account_id / digest

    def complete(self, folder: Path) -> bool:
        """Whether both files are there."""
        return all((folder / name).is_file() for name in (CONFIG_FILE, WEIGHTS_FILE))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold while rows and folders change together; waits for other processes."""
        with folder_lock(private_folder(self._root)):
            yield

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new empty folder on the same volume as the stored ones; what is left in it goes at the end.

        Its lock tells a sweep, in this process or another, that somebody is at work in it.
        """
        private_folder(self._incoming)
        folder = self._incoming / secrets.token_hex(16)
        try:
            with folder_lock(self._incoming):  # no sweep between the folder and its lock
                folder.mkdir(mode=0o700)
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                os.close(descriptor)
        finally:
            self.discard(folder)

    def commit(self, staged: Path, account_id: str, digest: str) -> Path:
        """Make a sealed folder the stored one in one step. One that is there and whole stays as it is."""
        folder = self.folder(account_id, digest)
        if self._same(folder, staged):
            return folder
        private_folder(folder.parent)
        if folder.exists():
            folder.rename(self._incoming / secrets.token_hex(16))
        staged.rename(folder)
        sync_folder(folder.parent)
        return folder

    def _same(self, folder: Path, staged: Path) -> bool:
        """Equal digests mean equal bytes, so sizes tell whether somebody cut or deleted a stored file."""
        return self.complete(folder) and all(
            (folder / name).stat().st_size == (staged / name).stat().st_size
            for name in (CONFIG_FILE, WEIGHTS_FILE)
        )

    def remove(self, account_id: str, digest: str) -> None:
        """Take a stored folder away in one step, then delete it. None there is fine."""
        folder = self.folder(account_id, digest)
        if folder.exists():
            leaving = private_folder(self._incoming) / secrets.token_hex(16)
            folder.rename(leaving)
            sync_folder(folder.parent)
            self.discard(leaving)

    def discard(self, staged: Path) -> None:
        """Delete a folder in `.incoming`, if it is still there."""
        shutil.rmtree(staged, ignore_errors=True)

    def put_asset(self, draft_id: str, sha256: str, file: Path) -> None:
        """Move a durable file out of a staged folder to a draft's, named by its bytes: one that a row already names
        is never another's."""
        folder = private_folder(self._drafts / draft_id)
        file.chmod(READ_ONLY_MODE)
        file.rename(folder / sha256)
        sync_folder(folder)
        sync_folder(self._drafts)

    def keep_assets(self, draft_id: str, sha256s: Iterable[str]) -> None:
        """Delete the draft's files but these: an asset was sent again."""
        kept = set(sha256s)
        for file in (self._drafts / draft_id).iterdir():
            if file.name not in kept:
                file.unlink()

    def link(self, draft_id: str, config_sha256: str, weights_sha256: str, staged: Path) -> None:
        """Both assets of a draft under their names: they are inspected and sealed there, the draft's own stay.

        Raises `FileNotFoundError` when the draft was removed meanwhile.
        """
        for name, sha256 in ((CONFIG_FILE, config_sha256), (WEIGHTS_FILE, weights_sha256)):
            (staged / name).hardlink_to(self._drafts / draft_id / sha256)

    def remove_draft(self, draft_id: str) -> None:
        """Delete a draft's assets. None there is fine."""
        self.discard(self._drafts / draft_id)

    def link_all(
        self, target: Path, adapters: Iterable[tuple[str, str]], drafts: Iterable[str]
    ) -> tuple[str, ...]:
        """Second names below `target` for the files of `adapters` (account and digest) and `drafts`; the adapters whose
        files are gone. Call with the lock held; `target` must be on the same volume."""
        gone = []
        for account_id, digest in adapters:
            folder = self.folder(account_id, digest)
            if self.complete(folder):
                _link_files(folder, target / account_id / digest, (CONFIG_FILE, WEIGHTS_FILE))
            else:
                gone.append(f"{account_id}/{digest}")
        for draft_id in drafts:
            folder = self._drafts / draft_id
            if folder.is_dir():
                names = [file.name for file in folder.iterdir()]
                _link_files(folder, target / self._drafts.name / draft_id, names)
        return tuple(gone)

    def take_back(self, source: Path) -> None:
        """Put what `link_all` named below `source`, or a copy of it, in its place. Call with the lock held."""
        for folder in [*source.glob("*/*")]:
            for file in folder.iterdir():
                file.chmod(READ_ONLY_MODE)
            sync_folder(folder)
            place = self._root / folder.relative_to(source)
            private_folder(place.parent)
            if place.exists():
                place.rename(self._incoming / secrets.token_hex(16))
            folder.rename(place)
            sync_folder(place.parent)

    def keep_only(self, adapters: Iterable[tuple[str, str]], drafts: Iterable[str]) -> None:
        """Delete the files of all others. Call with the lock held."""
        kept = {self.folder(account_id, digest) for account_id, digest in adapters}
        kept |= {self._drafts / draft_id for draft_id in drafts}
        for folder in [*self._root.glob("*/*")]:
            if folder not in kept and folder.parent != self._incoming:
                self.discard(folder)

    def sweep(self, drafts: Iterable[str] = ()) -> None:
        """Delete what killed processes left: staged folders that nobody holds, assets of none of `drafts`."""
        if self._incoming.is_dir():
            with folder_lock(self._incoming):
                for folder in self._incoming.iterdir():
                    self._discard_abandoned(folder)
        known = set(drafts)
        for folder in self._drafts.iterdir() if self._drafts.is_dir() else ():
            if folder.name not in known:
                self.discard(folder)

    def _discard_abandoned(self, folder: Path) -> None:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # its holder has just moved it to its place
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.discard(folder)
        except BlockingIOError:
            return
        finally:
            os.close(descriptor)


def _link_files(source: Path, target: Path, names: Iterable[str]) -> None:
    private_folder(target)
    for name in names:
        (target / name).hardlink_to(source / name)
