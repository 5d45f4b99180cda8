"""What a GGUF file says of itself is what the stand-in's own folder says."""

import json
from pathlib import Path

import pytest

from app.adapters.inspection.base_model import read_base
from app.engines.llamacpp.gguf.sidecar import make_sidecar
from app.errors import StartupError
from app.inference.tokenizer import Tokenizer
from app.standin.recipe import text


@pytest.fixture(scope="module")
def sidecar(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sidecar") / "new"
    make_sidecar(gguf, folder)
    return folder


def test_the_shape_is_the_same(sidecar: Path, standin_folder: Path) -> None:
    assert read_base(sidecar, "x") == read_base(standin_folder, "x")


def test_the_tokenizer_is_the_same(sidecar: Path, standin_folder: Path) -> None:
    one, other = (json.loads((folder / "tokenizer.json").read_text()) for folder in (sidecar, standin_folder))
    assert one["model"]["vocab"] == other["model"]["vocab"]
    assert one["model"]["merges"] == other["model"]["merges"]
    assert one == other


def test_texts_become_the_same_tokens(sidecar: Path, standin_folder: Path) -> None:
    mine, theirs = Tokenizer.from_folder(sidecar), Tokenizer.from_folder(standin_folder)
    for question, answer in text.questions():
        assert mine.plain(f"[INST] {question} [/INST] {answer}") == theirs.plain(
            f"[INST] {question} [/INST] {answer}"
        )
    odd = "  zwei\n\tTabs 😀 <s> <0x41> ▁x"
    assert mine.plain(odd) == theirs.plain(odd)
    assert mine.verbatim(odd) == theirs.verbatim(odd)


def test_another_file_gets_none(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(StartupError):
        make_sidecar(tmp_path / "x.gguf", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
