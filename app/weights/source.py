"""The setting `weights` on disk: the stand-in, a variant, a file, a repository in the cache, or a folder."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from app.engines.checkpoint import find_weights
from app.engines.registry import EngineKind
from app.errors import StartupError
from app.settings.check import did_you_mean
from app.standin.expand import ensure_expanded
from app.standin.gguf import ensure_gguf
from app.weights.hub_errors import check_endpoint
from app.weights.locate import locate
from app.weights.single_file import MODEL_FILES, gguf_of, is_llamafile, is_model_file, sidecar_of
from app.weights.variants import find_variant, load_catalogues, variant_ids

STAND_IN: Final = "stand-in"

Quantization = Literal["none", "8-bit", "4-bit"]
ROUNDED: Final[Mapping[str, Quantization]] = {"8-bit": "8-bit", "4-bit": "4-bit"}


class Weights:
    """One setting `weights`, found or made when first asked for; threads that ask meanwhile wait.

    A relative path starts where this process stands now, wherever it goes.
    """

    def __init__(self, name: str, data_dir: Path) -> None:
        self.name = name
        self._data_dir = data_dir
        self._here = Path.cwd()
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._folder: Path | None = None

    def path(self) -> Path:
        """What the engine loads: a folder or a GGUF file, which of a llamafile is copied out once.

        Raises OperatorError: missing or broken.
        """
        with self._lock:
            return self._find()

    def folder(self) -> Path:
        """A folder with the weights' config.json and tokenizer.json. Raises OperatorError: missing or broken."""
        with self._lock:
            if self._folder is None:
                path = self._find()
                self._folder = sidecar_of(path, self._data_dir) if path.is_file() else path
            return self._folder

    def loaded_by(self, engine: EngineKind) -> Path:
        """What the engine loads: the GGUF file, or the folder. Raises OperatorError: missing or broken."""
        if not engine.one_file:
            return self.folder()
        return ensure_gguf(self._data_dir) if self.name == STAND_IN else self.path()

    def load_quantization(self) -> Quantization:
        """To how many bits the engine rounds the weights while it loads them: a variant's 8-bit or 4-bit, else none."""
        variant = find_variant(load_catalogues(), self.name)
        return (
            ROUNDED.get(variant.quantization, "none") if variant and variant.format == "pytorch" else "none"
        )

    def _find(self) -> Path:
        if self._path is None:
            path = self._found()
            self._path = gguf_of(path, self._data_dir) if is_llamafile(path) else path
        return self._path

    def _found(self) -> Path:
        if self.name == STAND_IN:
            return ensure_expanded(self._data_dir)
        catalogues = load_catalogues()
        variant = find_variant(catalogues, self.name)
        if variant is not None:
            return locate(variant)
        file = self._here / Path(self.name).expanduser()
        if is_model_file(file):
            return file
        if file.suffix.lower() in MODEL_FILES:
            raise StartupError(f"weights: no file {self.name}: set weights to a file that is there")
        check_endpoint()
        try:
            return find_weights(self.name, self._here)
        except StartupError as error:
            near = did_you_mean(self.name, variant_ids(catalogues), "the variant ")
            raise StartupError(f"{error}{near}") from None
