"""The real Mistral v0.2 tokenizer, as the stand-in's folder has it."""

from pathlib import Path

import pytest

from app.inference.tokenizer import Tokenizer
from app.standin.tokenizer import tokenizer_json, tokenizer_model_path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "tokenizer.json").write_text(tokenizer_json(tokenizer_model_path()), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer(weights: Path) -> Tokenizer:
    return Tokenizer.from_folder(weights)
