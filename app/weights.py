"""The setting `weights` as a folder on disk: the stand-in expanded, or what `app.engines.weights` finds."""

import threading
from pathlib import Path
from typing import Final

from app.engines.weights import find_weights
from app.standin.expand import ensure_expanded

STAND_IN: Final = "stand-in"


class Weights:
    """One setting `weights`, found or made when first asked for; threads that ask meanwhile wait."""

    def __init__(self, name: str, data_dir: Path) -> None:
        self.name = name
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._folder: Path | None = None

    def folder(self) -> Path:
        """Raises StartupError when the weights are missing or broken."""
        with self._lock:
            if self._folder is None:
                stand_in = self.name == STAND_IN
                self._folder = ensure_expanded(self._data_dir) if stand_in else find_weights(self.name)
            return self._folder
