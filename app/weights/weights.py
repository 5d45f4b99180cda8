"""The setting `weights` on disk: the stand-in, a variant, a file, a repository in the cache, or a folder."""

import threading
from pathlib import Path
from typing import Final

from app.engines.weights import find_weights
from app.errors import StartupError
from app.settings.check import did_you_mean
from app.standin.expand import ensure_expanded
from app.weights.locate import locate
from app.weights.sidecar import is_model_file, sidecar_of
from app.weights.variants import find_variant, load_catalogues, variant_ids

STAND_IN: Final = "stand-in"


class Weights:
    """One setting `weights`, found or made when first asked for; threads that ask meanwhile wait."""

    def __init__(self, name: str, data_dir: Path) -> None:
        self.name = name
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._folder: Path | None = None

    def path(self) -> Path:
        """What the engine loads: a folder, or a .gguf or .llamafile. Raises OperatorError: missing or broken."""
        with self._lock:
            return self._find()

    def folder(self) -> Path:
        """A folder with the weights' config.json and tokenizer.json. Raises OperatorError: missing or broken."""
        with self._lock:
            if self._folder is None:
                path = self._find()
                self._folder = sidecar_of(path, self._data_dir) if path.is_file() else path
            return self._folder

    def _find(self) -> Path:
        if self._path is None:
            self._path = self._found()
        return self._path

    def _found(self) -> Path:
        if self.name == STAND_IN:
            return ensure_expanded(self._data_dir)
        catalogues = load_catalogues()
        variant = find_variant(catalogues, self.name)
        if variant is not None:
            return locate(variant)
        file = Path(self.name).expanduser()
        if is_model_file(file):
            return file
        try:
            return find_weights(self.name)
        except StartupError as error:
            near = did_you_mean(self.name, variant_ids(catalogues), "the variant ")
            raise StartupError(f"{error}{near}") from None
