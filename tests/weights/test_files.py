"""Weights that are one file, for real: the stand-in as GGUF and as llamafile."""

import asyncio
import time
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from app.adapters.inspection.base_model import read_base
from app.adapters.resolver import Resolver
from app.catalog.cards import load_cards
from app.errors import LoraIncompatible
from app.server.assembly import Assembly
from app.server.stores import stores_of
from app.settings import CHECKOUT, Settings, load_settings
from app.standin.gguf import ensure_gguf
from app.weights.single_file import SIDECAR_VERSION
from app.weights.source import Weights
from tests.hub.server import Hub
from tests.weights.conftest import GGUF_FILE, GGUF_REPOSITORY, Puller

ORIGINAL = "mistralai/Mistral-7B-Instruct-v0.2"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_gguf(tmp_path_factory.mktemp("gguf"))


def test_a_gguf_file_has_config_and_tokenizer_beside_it(
    gguf: Path, tmp_path: Path, standin_folder: Path
) -> None:
    weights = Weights(str(gguf), tmp_path)
    folder = weights.folder()
    assert folder.parent == tmp_path / "sidecars"
    assert read_base(folder, "w") == read_base(standin_folder, "w")
    tokenizer = (folder / "tokenizer.json").read_bytes()
    changed = "raise SIDECAR_VERSION, so that data directories get the new one, and put its digest here"
    assert (SIDECAR_VERSION, sha256(tokenizer).hexdigest()[:16]) == (1, "3d84b9897a327098"), changed


def test_a_llamafile_is_the_gguf_file_in_it(gguf: Path, tmp_path: Path) -> None:
    llamafile = tmp_path / "mine.llamafile"
    with zipfile.ZipFile(llamafile, "w", zipfile.ZIP_STORED) as archive:
        archive.write(gguf, "mine.gguf")
    weights = Weights(str(llamafile), tmp_path)
    assert weights.path().read_bytes() == gguf.read_bytes()
    assert weights.path().parent == tmp_path / "llamafiles"
    assert (weights.folder() / "config.json").is_file()


def test_a_pulled_variant(puller: Puller, hub: Hub, gguf: Path, tmp_path: Path, standin_folder: Path) -> None:
    """From the hub to what an engine loads and adapters are checked against; these go on with the model's other forms."""
    hub.repositories[GGUF_REPOSITORY]["main"][GGUF_FILE] = gguf.read_bytes()
    place = puller.pulls("gguf-Q4_K_M")
    weights = Weights("gguf-Q4_K_M", tmp_path)
    assert weights.path() == place
    assert read_base(weights.folder(), "w") == read_base(standin_folder, "w")
    stores = stores_of(with_model(tmp_path, "gguf-Q4_K_M", "llamacpp"))
    stored = stores.add_adapter(
        CHECKOUT / "adapters" / "pirate", name="p", account_id=None, model=None, description="", public=False
    )
    resolver = Resolver(stores.adapters, time.monotonic)
    for name, engine in (("gguf-Q4_K_M", "llamacpp"), ("pytorch-4-bit", "transformers"), (ORIGINAL, "vllm")):
        assembly = Assembly(
            with_model(tmp_path, name, engine), load_cards(CHECKOUT / "schemas"), stores.adapters
        )
        (group,) = assembly.groups()
        assert asyncio.run(resolver.resolve("local", "p", ORIGINAL, group.weights)) == stored
    with pytest.raises(LoraIncompatible):
        asyncio.run(resolver.resolve("local", "p", ORIGINAL, "stand-in"))


def with_model(data_dir: Path, weights: str, engine: str) -> Settings:
    settings = load_settings(None, None, {"OUTWORKER_DATA_DIR": str(data_dir)})
    return replace(settings, models=(replace(settings.models[0], weights=weights, engine=engine),))
