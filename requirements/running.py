"""Whether a server runs already where another one is to start: asked before anything is installed for it."""

import fcntl
import os
import shlex
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from requirements.refusal import Refusal

LOCK_FILE = "server.lock"
"""As `app.data_dir.server_lock` has it, whose imports are not there before an installation."""
DEFAULT_CONFIG = "wrangler-like-config/outworker.toml"
DEFAULT_DATA_DIR = ".outworker"


def refuse_second_server(checkout: Path, environ: Mapping[str, str]) -> None:
    """Raises `Refusal`. What can't be told here is the server's to find out."""
    data_dir = _data_dir(checkout, environ)
    if data_dir is not None and _is_locked(data_dir / LOCK_FILE):
        raise Refusal(
            f"another server uses {data_dir}: stop it, or set OUTWORKER_DATA_DIR to another folder and PORT to another "
            "port, as in OUTWORKER_DATA_DIR=.outworker-2 PORT=8789 make serve"
        )


def _data_dir(checkout: Path, environ: Mapping[str, str]) -> Path | None:
    """Of the environment, else of the settings that ARGS of `make serve` name; None where they can't be read here."""
    if given := environ.get("OUTWORKER_DATA_DIR"):
        return checkout / Path(given).expanduser()
    try:
        words = shlex.split(environ.get("ARGS", ""))
        settings = tomllib.loads((checkout / _option(words, "--config", DEFAULT_CONFIG)).read_text())
        named = settings.get("env", {}).get(_option(words, "--env", ""), {})
        given = {**settings.get("server", {}), **named.get("server", {})}.get("data_dir", DEFAULT_DATA_DIR)
        return checkout / Path(given).expanduser()
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _option(words: list[str], name: str, default: str) -> str:
    for word, behind in pairwise([*words, ""]):
        if word == name:
            return behind
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return default


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
