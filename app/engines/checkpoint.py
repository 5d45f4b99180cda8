"""Weights on disk: found by folder or by repository name, and looked at before an engine meets them.

vLLM answers a broken folder with a page of stack trace from a child process; here it is one line that says what to do.
"""

import json
import struct
from pathlib import Path
from typing import Any

from app.errors import StartupError
from app.program import program

MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
INDEX_FILE = "model.safetensors.index.json"
REPOSITORY_FILES = ("*.json", "*.safetensors", "tokenizer*")
LEFT_OUT = "consolidated*"  # the same weights once more, in Mistral's own layout


def find_weights(name: str, here: Path) -> Path:
    """A folder's path, or a repository's snapshot in the local Hugging Face cache. Nothing is downloaded.

    A relative path starts `here`.

    Raises StartupError when there is neither.
    """
    folder = here / Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise StartupError(f"weights: no folder {name}: set weights to a folder or a repository name")
    import huggingface_hub  # noqa: PLC0415  half a second that a folder does not need
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        snapshot = huggingface_hub.snapshot_download(
            name, allow_patterns=list(REPOSITORY_FILES), ignore_patterns=[LEFT_OUT], local_files_only=True
        )
        return Path(snapshot)
    except (LocalEntryNotFoundError, HFValidationError):
        raise StartupError(
            f"weights: {name} is neither a folder nor in the Hugging Face cache: "
            f"download it with `{program('hf')} download {name}`, "
            f"or pull a variant of `{program()} weights list` and name that"
        ) from None


def check_weights(folder: Path) -> int:
    """The weights' size in bytes. Raises StartupError naming the file when one is missing, broken or cut short."""
    config = read_config(folder)
    if config.get("model_type") != "mistral":
        raise _broken(
            folder / CONFIG_FILE, f'model_type must be "mistral", found {config.get("model_type")!r}'
        )
    if not (folder / TOKENIZER_FILE).is_file():
        raise _broken(folder / TOKENIZER_FILE, "the file is missing")
    files = weight_files(folder)
    for file in files:
        _check_safetensors(file)
    return sum(file.stat().st_size for file in files)


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a weights folder. Raises StartupError."""
    path = folder / CONFIG_FILE
    if not folder.is_dir():
        raise StartupError(f"weights: no folder {folder}: set weights to a folder or a repository name")
    config = _read_json(path)
    if not isinstance(config, dict):
        raise _broken(path, "it must hold a JSON object")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that the weights consist of, in order. Raises StartupError when there is none."""
    index = folder / INDEX_FILE
    if index.is_file():
        content = _read_json(index)
        names = content.get("weight_map", {}) if isinstance(content, dict) else {}
        files = [folder / Path(str(name)).name for name in sorted(set(names.values()))]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise StartupError(f"weights: no *.safetensors file in {folder}: the download is incomplete")
    return files


def _check_safetensors(path: Path) -> None:
    """The header parses, and the file is as long as the header says."""
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= MAX_HEADER_BYTES:
                raise _broken(path, "it is not a safetensors file")
            header = json.loads(file.read(length))
            end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    except OSError as error:
        raise _broken(path, error.strerror or "it can't be read") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise _broken(path, "its safetensors header is broken") from None
    expected, size = 8 + length + end, path.stat().st_size
    if size != expected:
        raise _broken(path, f"it has {size} bytes where its header says {expected}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise _broken(path, "the file is missing" if not path.exists() else str(error.strerror)) from None
    except ValueError:
        raise _broken(path, "it is not valid JSON") from None


def _broken(path: Path, what: str) -> StartupError:
    return StartupError(f"weights: {path}: {what}: download the weights again or set another folder")
