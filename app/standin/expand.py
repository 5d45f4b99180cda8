"""From the committed file to a folder that vLLM and transformers load, with numpy alone, within a second."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

from app.files import folder_lock, private_folder, whole_folder
from app.standin import compact
from app.standin.shape import BOS_ID, CONFIG, EOS_ID, VOCAB_SIZE
from app.standin.tokenizer import tokenizer_config, tokenizer_json, tokenizer_model_path

FOLDER_NAME = "standin"
SEAL_FILE = "expanded.json"
EXPANSION_VERSION = 1
"""Raise it when what `expand` writes changes, so that folders of older versions are made again."""


def ensure_expanded(data_dir: Path) -> Path:
    """The folder `data_dir/standin`, made now unless it is there, whole, and of this version.

    Every file's sha256 is compared, so a folder that was cut short or changed is made again. Raises OSError
    when it can't be written. Servers that start at once expand one after the other.
    """
    folder = data_dir / FOLDER_NAME
    if not is_whole(folder):
        with folder_lock(private_folder(data_dir)):
            if not is_whole(folder):
                expand(folder)
    return folder


def expand(folder: Path) -> None:
    """Write the full model to `folder`, replacing what is there. It appears whole or not at all."""
    with whole_folder(folder) as fresh:
        _write_files(fresh)


def is_whole(folder: Path) -> bool:
    """Whether the folder holds exactly what this version makes from the committed file."""
    try:
        seal = json.loads((folder / SEAL_FILE).read_text(encoding="utf-8"))
        return bool(seal == _seal(folder))
    except (OSError, ValueError):
        return False


def _write_files(folder: Path) -> None:
    source = tokenizer_model_path()
    _write_json(folder / "config.json", CONFIG)
    _write_json(folder / "generation_config.json", {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID})
    _write_json(folder / "tokenizer_config.json", tokenizer_config())
    (folder / "tokenizer.json").write_text(tokenizer_json(source), encoding="utf-8")
    shutil.copyfile(source, folder / "tokenizer.model")
    (folder / "model.safetensors").write_bytes(_full_weights())
    _write_json(folder / SEAL_FILE, _seal(folder))


def _full_weights() -> bytes:
    """All 32000 rows: those that were trained, and one row copied to every other token."""
    small = compact.read()
    rows = small.tensors[compact.EMBEDDING]
    embedding = np.repeat(rows[-1:], VOCAB_SIZE, axis=0)
    embedding[small.kept_ids] = rows[:-1]
    return compact.to_safetensors({**small.tensors, compact.EMBEDDING: embedding})


def _seal(folder: Path) -> dict[str, object]:
    files = sorted(path for path in folder.iterdir() if path.name != SEAL_FILE)
    return {
        "version": EXPANSION_VERSION,
        "source_sha256": _sha256(compact.COMPACT_FILE),
        "files_sha256": {path.name: _sha256(path) for path in files},
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
