"""For weights that are one file: a folder with the config.json and tokenizer.json that the file holds in its metadata."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.engines.llamacpp.gguf.llamafile import SUFFIX as LLAMAFILE
from app.engines.llamacpp.gguf.llamafile import copied_gguf, gguf_in
from app.errors import StartupError
from app.files import folder_lock, private_folder, whole_folder

FOLDER_NAME: Final = "sidecars"
MODEL_FILES: Final = (".gguf", LLAMAFILE)
COPIES_FOLDER_NAME: Final = "llamafiles"

SIDECAR_VERSION: Final = 1
"""Raise it when what `make_sidecar` writes changes, so that folders of older versions are made again."""

MakeSidecar = Callable[[Path, Path], None]
"""`make(file, folder)` writes the two files into an empty folder."""


def is_model_file(path: Path) -> bool:
    return path.suffix.lower() in MODEL_FILES and path.is_file()


def is_llamafile(path: Path) -> bool:
    return path.suffix.lower() == LLAMAFILE and path.is_file()


def gguf_of(llamafile: Path, data_dir: Path) -> Path:
    """The GGUF file inside a llamafile, copied out when it isn't there yet. Raises StartupError."""
    return gguf_in(llamafile, data_dir / COPIES_FOLDER_NAME)


def is_copied(llamafile: Path, data_dir: Path) -> bool:
    """Whether `gguf_of` finds the GGUF file copied out already."""
    try:
        return copied_gguf(llamafile, data_dir / COPIES_FOLDER_NAME) is not None
    except StartupError:  # it says so itself when it is to be served
        return False


def sidecar_of(file: Path, data_dir: Path, make: MakeSidecar | None = None) -> Path:
    """The folder for `file`, made when it isn't there yet; whole or not at all.

    A file that was replaced gets another: its name is of the path, size, time of change and `SIDECAR_VERSION`. Raises
    OperatorError.
    """
    folder = private_folder(data_dir / FOLDER_NAME) / _identity(file)
    if not folder.is_dir():
        with folder_lock(folder.parent):
            if not folder.is_dir():
                with whole_folder(folder, leftovers=".*") as fresh:
                    (make or _make)(file, fresh)
    return folder


def _identity(file: Path) -> str:
    path = file.resolve()
    state = path.stat()
    what = f"{os.fspath(path)}\n{state.st_size}\n{state.st_mtime_ns}\n{SIDECAR_VERSION}"
    return hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _make(file: Path, folder: Path) -> None:
    from app.engines.llamacpp.gguf.sidecar import make_sidecar  # noqa: PLC0415  reads GGUF: only for such weights

    make_sidecar(file, folder)
