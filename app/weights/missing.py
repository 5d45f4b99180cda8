"""What a variant still takes of the disk before it is served: the download, and the copy of the GGUF in a llamafile."""

from dataclasses import dataclass
from pathlib import Path

from app.engines.llamacpp.gguf.llamafile import LEAST_FREE_BYTES, SUFFIX
from app.weights.locate import find_pulled
from app.weights.single_file import is_copied
from app.weights.variants import GB, Variant


@dataclass(frozen=True, slots=True)
class Missing:
    """Bytes: in the hub's cache, and in the data directory."""

    cache_bytes: int = 0
    data_bytes: int = 0

    @property
    def pulled(self) -> bool:
        return not self.cache_bytes


def missing(variant: Variant, data_dir: Path) -> Missing:
    """Looks into the caches and the data directory now."""
    place, size = find_pulled(variant), int(variant.size_gb * GB)
    cache_bytes = 0 if place else size
    file = variant.hubs[0].single_file
    if file is None or not file.endswith(SUFFIX) or (place is not None and is_copied(place, data_dir)):
        return Missing(cache_bytes)
    return Missing(cache_bytes, size + LEAST_FREE_BYTES)
