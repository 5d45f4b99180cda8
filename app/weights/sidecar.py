"""For weights that are one file: a folder with the config.json and tokenizer.json that the file holds in its metadata."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from app.files import private_folder

FOLDER_NAME: Final = "sidecars"
MODEL_FILES: Final = (".gguf", ".llamafile")

MakeSidecar = Callable[[Path, Path], None]
"""`make(file, folder)` writes the two files into an empty folder."""


def is_model_file(path: Path) -> bool:
    return path.suffix.lower() in MODEL_FILES and path.is_file()


def sidecar_of(file: Path, data_dir: Path, make: MakeSidecar | None = None) -> Path:
    """The folder for `file`, made when it isn't there yet; whole or not at all.

    A file that was replaced gets another: its name is of the path, size and time of change. Raises OperatorError.
    """
    folder = private_folder(data_dir / FOLDER_NAME) / _identity(file)
    if folder.is_dir():
        return folder
    fresh = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        (make or _make)(file, fresh)
        fresh.replace(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _identity(file: Path) -> str:
    path = file.resolve()
    state = path.stat()
    what = f"{os.fspath(path)}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _make(file: Path, folder: Path) -> None:
    from app.engines.llamacpp.sidecar import make_sidecar  # noqa: PLC0415  reads GGUF: only for such weights

    make_sidecar(file, folder)
