"""A settings file as a plain document: TOML or JSONC by its extension, with one `[env.NAME]` merged in."""

import tomllib
from pathlib import Path
from typing import Any

import json5

from app.errors import SettingsError

Document = dict[str, Any]
SUFFIXES = (".toml", ".jsonc", ".json")


def read_document(path: Path) -> Document:
    """The file's content. Raises `SettingsError` with the line of a syntax error."""
    text = _read_text(path)
    document = _parse_toml(path, text) if path.suffix == ".toml" else _parse_jsonc(path, text)
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: expected an object of settings, found {type(document).__name__}")
    return document


def choose_env(path: Path, document: Document, env_name: str | None) -> Document:
    """The document without `env` and with the overrides of `env_name`: tables merged, arrays replaced."""
    base = {key: value for key, value in document.items() if key not in ("env", "$schema")}
    if env_name is None:
        return base
    environments = document.get("env", {})
    if env_name not in environments:
        known = ", ".join(sorted(environments)) or "none"
        raise SettingsError(f"{path}: env.{env_name}: no such environment; the file has: {known}")
    return merge(base, environments[env_name])


def merge(base: Document, overrides: Document) -> Document:
    """`base` with `overrides` on top. Tables are merged key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in overrides.items():
        old = base.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _read_text(path: Path) -> str:
    if path.suffix not in SUFFIXES:
        raise SettingsError(f"{path}: a settings file ends in {', '.join(SUFFIXES)}")
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(
            f"{path}: can't be read: {error.strerror}; name another file with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: expected UTF-8 text: byte {error.start} is none") from error


def _parse_toml(path: Path, text: str) -> object:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def _parse_jsonc(path: Path, text: str) -> object:
    try:
        return json5.loads(text, allow_duplicate_keys=False)
    except (ValueError, RecursionError) as error:
        why = str(error).replace("\n", " ").replace("<string>:", "line ")
        raise SettingsError(f"{path}: not valid JSONC: {why}") from error
