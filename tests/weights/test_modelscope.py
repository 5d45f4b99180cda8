"""Pulling with ModelScope's own client from a server on loopback: what comes, what is resumed, what is not used."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.weights.modelscope import find
from app.weights.variants import load_catalogues, named_variant
from tests.hub.modelscope import Scope, serving
from tests.weights.conftest import GGUF_FILE, LARGE, MIB, Folder, Puller

VARIANT = "gguf-Q4_K_M"
REPOSITORY = "Xorbits/Mistral-7B-Instruct-v0.2-GGUF"
ORIGINAL = "AI-ModelScope/Mistral-7B-Instruct-v0.2"
HUB = ("--hub", "modelscope")


@pytest.fixture
def scope(puller: Puller, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scope]:
    """The server that the client of `puller` knows. Between its attempts the client waits seconds: none here."""
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_INTEGRITY_RETRY_BACKOFF", 0)
    with serving(Scope({REPOSITORY: {"master": {GGUF_FILE: LARGE, "README.md": b"# GGUF"}}})) as running:
        puller.environment |= {"MODELSCOPE_ENDPOINT": running.url, "MODELSCOPE_HOME": str(puller.home)}
        yield running


def test_without_the_client(puller: Puller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub", None)
    line = puller.refused(VARIANT, "--hub", "ModelScope")
    assert line.endswith(f"run `{sys.executable} -m pip install modelscope-hub`, or pull from huggingface")


def test_a_client_with_other_names(puller: Puller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "modelscope_hub.errors", None)
    assert "client is not installed" in puller.refused(VARIANT, *HUB)


def test_a_pulled_file_is_found_as_long_as_it_is_whole(puller: Puller, scope: Scope) -> None:
    place = puller.pulls(VARIANT, *HUB)
    assert (place.name, place.read_bytes()) == (GGUF_FILE, LARGE)
    assert puller.place(VARIANT) == str(place)
    catalogues = load_catalogues()
    copy = named_variant(catalogues, VARIANT).copy("modelscope")
    assert find(copy) == place
    assert find(named_variant(catalogues, "gguf-Q5_K_M").copy("modelscope")) is None
    place.write_bytes(b"a cut file")
    assert find(copy) is None
    place.unlink()
    assert find(copy) is None


def test_a_second_pull_downloads_nothing(puller: Puller, scope: Scope) -> None:
    assert puller.pulls(VARIANT, *HUB) == puller.pulls(VARIANT, *HUB)
    assert scope.asked == [(GGUF_FILE, None)]


def test_only_the_files_that_are_needed(puller: Puller, scope: Scope, folder_files: Folder) -> None:
    scope.repositories[ORIGINAL] = {"master": folder_files("original")}
    place = puller.pulls("pytorch", *HUB)
    wanted = {
        "config.json",
        "tokenizer.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert {path.name for path in place.iterdir()} == {name for name, _ in scope.asked} == wanted


def test_a_cut_connection_is_taken_up_where_it_broke(puller: Puller, scope: Scope) -> None:
    scope.cut_after = [21 * MIB]
    assert puller.pulls(VARIANT, *HUB).read_bytes() == LARGE
    (_, first), (_, second) = scope.asked
    assert first is None
    assert second is not None
    assert 20 * MIB <= int(second.removeprefix("bytes=").removesuffix("-")) <= 21 * MIB


def test_a_wrong_checksum(puller: Puller, scope: Scope) -> None:
    scope.corrupt.add(GGUF_FILE)
    line = puller.refused(VARIANT, *HUB)
    assert f"Hash mismatch for {GGUF_FILE}" in line
    assert puller.place(VARIANT) == "no"
    scope.corrupt.clear()
    assert puller.pulls(VARIANT, *HUB).read_bytes() == LARGE


def test_some_files_of_several_are_not_used(puller: Puller, scope: Scope, folder_files: Folder) -> None:
    scope.repositories[ORIGINAL] = {"master": folder_files("original")}
    scope.corrupt.add("model-00002-of-00002.safetensors")
    assert "Hash mismatch for model-00002" in puller.refused("pytorch", *HUB)
    assert puller.place("pytorch") == "no"


def test_a_repository_without_the_file(puller: Puller, scope: Scope) -> None:
    del scope.repositories[REPOSITORY]["master"][GGUF_FILE]
    assert f"has no file {GGUF_FILE} at master on ModelScope" in puller.refused(VARIANT, *HUB)
    assert puller.place(VARIANT) == "no"


def test_a_missing_revision(puller: Puller, scope: Scope) -> None:
    scope.repositories.clear()
    line = puller.refused(VARIANT, *HUB)
    assert f"ModelScope: {REPOSITORY} at master: " in line
    assert line.endswith(
        "record not found | code=10010205001: it is not there, or needs a token: set MODELSCOPE_API_TOKEN"
    )


def test_what_is_no_answer_of_the_hub(puller: Puller, scope: Scope) -> None:
    scope.html = True
    assert "ModelScope: " in puller.refused(VARIANT, *HUB)
