"""ModelScope: the line without its client, and what is made of what its client leaves behind.

The client itself is an optional package: here a module of its name writes the files into the folder that it is told.
"""

from pathlib import Path

import pytest

from app.weights.modelscope import find
from app.weights.variants import load_catalogues, named_variant
from tests.weights.conftest import GGUF_FILE, Puller

VARIANT = "gguf-Q4_K_M"
CLIENT = """
import os, pathlib
from modelscope_hub.errors import HubError

def snapshot_download(model_id, revision, cache_dir, allow_patterns, ignore_patterns):
    folder = pathlib.Path(cache_dir, "models", model_id.replace("/", "--"), "snapshots", revision)
    folder.mkdir(parents=True, exist_ok=True)
    mode = os.environ["CLIENT"]
    if mode == "fails":
        (folder / allow_patterns[0]).write_bytes(b"half")
        raise HubError("hash mismatch\\nmore lines")
    if mode == "whole":
        (folder / allow_patterns[0]).write_bytes(b"a whole file")
    (folder / "README.md").write_text(model_id)
    return str(folder)
"""


@pytest.fixture
def scope(puller: Puller, tmp_path: Path) -> Puller:
    """A puller whose processes find a ModelScope client."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "modelscope.py").write_text(CLIENT)
    (packages / "modelscope_hub").mkdir()
    (packages / "modelscope_hub" / "__init__.py").write_text("")
    (packages / "modelscope_hub" / "errors.py").write_text("class HubError(Exception): pass\n")
    puller.environment |= {"PYTHONPATH": str(packages), "CLIENT": "whole"}
    return puller


def test_without_the_client(puller: Puller) -> None:
    line = puller.refused(VARIANT, "--hub", "ModelScope")
    assert line.endswith("run `.venv/bin/pip install modelscope`, or pull from huggingface")


def test_a_pulled_file_is_found_as_long_as_it_is_whole(
    scope: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = scope.pulls(VARIANT, "--hub", "modelscope")
    assert (place.name, place.read_bytes()) == (GGUF_FILE, b"a whole file")
    assert scope.place(VARIANT) == str(place)
    monkeypatch.setenv("MODELSCOPE_CACHE", str(scope.home / "ms"))
    catalogues = load_catalogues()
    copy = named_variant(catalogues, VARIANT).copy("modelscope")
    assert find(copy) == place
    assert find(named_variant(catalogues, "gguf-Q5_K_M").copy("modelscope")) is None
    place.write_bytes(b"a cut file")
    assert find(copy) is None
    place.unlink()
    assert find(copy) is None


def test_what_the_client_leaves_half_is_not_used(scope: Puller) -> None:
    scope.environment["CLIENT"] = "fails"
    line = scope.refused(VARIANT, "--hub", "modelscope")
    assert "Xorbits/Mistral-7B-Instruct-v0.2-GGUF at master: hash mismatch: what arrived is kept" in line
    assert scope.place(VARIANT) == "no"


def test_a_repository_without_the_file(scope: Puller) -> None:
    scope.environment["CLIENT"] = "nothing"
    assert f"has no file {GGUF_FILE} at master on ModelScope" in scope.refused(VARIANT, "--hub", "modelscope")
    assert scope.place(VARIANT) == "no"
