"""The setting `weights` on disk: the stand-in, a variant, a file, a repository in the cache, or a folder.

Nothing is downloaded: a variant's files are looked for in the usual caches, whole or not at all.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.engines.checkpoint import find_weights
from app.engines.deployment import LoadQuantization
from app.engines.registry import EngineKind
from app.errors import StartupError
from app.program import program
from app.settings.check import did_you_mean
from app.settings.values import STAND_IN
from app.standin.expand import ensure_expanded
from app.standin.gguf import ensure_gguf
from app.weights import modelscope
from app.weights.hub_errors import check_endpoint
from app.weights.machine import cache_folder
from app.weights.single_file import MODEL_FILES, gguf_of, is_llamafile, is_model_file, sidecar_of
from app.weights.variants import Copy, Variant, find_variant, load_catalogues, variant_ids

ROUNDED: Final[Mapping[str, LoadQuantization]] = {"8-bit": "8-bit", "4-bit": "4-bit"}


def locate(variant: Variant) -> Path:
    """The variant's file, or the folder of its files. Raises StartupError with the command that pulls it."""
    path = find_pulled(variant)
    if path is None:
        raise StartupError(
            f"weights: {variant.id} ({variant.size_gb:.2f} GB) is not in the cache: "
            f"pull it with `{program()} weights pull {variant.id}`"
        )
    return path


def find_pulled(variant: Variant) -> Path | None:
    """As `locate`, None where it is not there or not whole. The Hugging Face cache comes first."""
    for copy in variant.hubs:
        path = in_hugging_face_cache(copy) if copy.hub == "huggingface" else modelscope.find(copy)
        if path is not None:
            return path
    return None


def in_hugging_face_cache(copy: Copy) -> Path | None:
    """The file or snapshot folder of a copy, when every file that its repository has for it is there.

    The hub's client lists a repository's files beside their snapshot (`trees/`) and so knows what is missing.
    Raises SettingsError where it can't be imported.
    """
    check_endpoint()
    import huggingface_hub  # noqa: PLC0415  half a second that a folder or the stand-in does not need

    cache = cache_folder()
    with suppress(
        OSError
    ):  # the hub's LocalEntryNotFoundError, or a cache that can't be read: a pull names the cause
        if copy.single_file is not None:
            file = huggingface_hub.hf_hub_download(
                copy.repository,
                copy.single_file,
                revision=copy.revision,
                cache_dir=cache,
                local_files_only=True,
            )
            return Path(file)
        folder = huggingface_hub.snapshot_download(
            copy.repository,
            revision=copy.revision,
            cache_dir=cache,
            allow_patterns=list(copy.files),
            ignore_patterns=list(copy.leave_out) or None,
            local_files_only=True,
        )
        return Path(folder)
    return None


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

    def load_quantization(self) -> LoadQuantization:
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
