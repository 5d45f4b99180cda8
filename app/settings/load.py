"""From a file and the environment to `Settings`, or to one `SettingsError` with a line per mistake.

A file is TOML or JSONC by its extension, with one `[env.NAME]` merged in.
"""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import json5

from app.errors import SettingsError
from app.resources import home, resource
from app.settings.check import did_you_mean, document_mistakes, found, model_mistakes
from app.settings.schema import defaults, model_defaults
from app.settings.values import Ai, Limits, Model, Server, Settings

Document = dict[str, Any]
SUFFIXES = (".toml", ".jsonc", ".json")

MAX_PORT: Final = 65535
OWN: Final = ("name", "aliases")
"""What an entry does not take from another with its weights."""
HOST_NAME: Final = re.compile(r"\*|[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")

DEFAULT_FILE: Final = resource("wrangler-like-config/outworker.toml")
LIGHT_FILE: Final = DEFAULT_FILE.with_name("llamacpp.toml")
"""The settings of the light installation, which has llama.cpp and no vLLM."""


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
        raise SettingsError(f"{path}: expected UTF-8 text: byte {error.start} is not") from error


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


def load_settings(path: Path | None, env_name: str | None, environ: Mapping[str, str]) -> Settings:
    """Read `path` (None: ours for what is installed) with the overrides of `[env.<env_name>]`.

    `HOST`, `PORT`, `OUTWORKER_DATA_DIR` and `OUTWORKER_DATABASE` in `environ` win over the file, and `ALLOWED_HOSTS`
    adds to it; an empty value counts as not set.
    Raises `SettingsError`: one line per mistake, each with the file, the key and what was expected.
    """
    source = default_file() if path is None else path
    document = read_document(source)
    _refuse(source, document_mistakes(document))
    merged = merge(defaults(), choose_env(source, document, env_name))
    models = _completed(merged["models"])
    _refuse(source, model_mistakes(models))
    server = {**merged["server"], **_from_environment(environ)}
    server["allowed_hosts"] = [*server["allowed_hosts"], *_hosts(environ.get("ALLOWED_HOSTS", ""))]
    return Settings(
        name=merged["name"],
        account_id=merged["account_id"],
        database=_database(environ) or merged["database"],
        ai=Ai(**merged["ai"]),
        server=_server(server),
        models=tuple(_model(model) for model in models),
        limits=Limits(**_typed(Limits, merged["limits"])),
        source=source,
        env_name=env_name,
    )


def default_file() -> Path:
    """The settings where none are named: an installation knows its engine."""
    light = find_spec("vllm") is None and find_spec("xllamacpp") is not None
    return LIGHT_FILE if light else DEFAULT_FILE


def check_models(settings: Settings, known_cards: Collection[str]) -> None:
    """Raise `SettingsError` for each `[[models]]` entry whose name no model card has."""
    unknown = [
        (index, model.name) for index, model in enumerate(settings.models) if model.name not in known_cards
    ]
    _refuse(
        settings.source,
        [
            f"models[{index}].name: expected the name of a card in schemas/, "
            f"found {found(name)}{did_you_mean(name, known_cards)}"
            for index, name in unknown
        ],
    )


def _completed(models: Iterable[Document]) -> list[Document]:
    """Entries with every key: what one leaves out comes from the first with its weights (one engine)."""
    defaults_of_entry = model_defaults()
    first: dict[str, Document] = {}
    completed = []
    for model in models:
        weights = model.get("weights", defaults_of_entry["weights"])
        shared = {key: value for key, value in first.get(weights, {}).items() if key not in OWN}
        entry = {**defaults_of_entry, **shared, **model}
        first.setdefault(weights, entry)
        completed.append(entry)
    return completed


def _refuse(source: Path, mistakes: Iterable[str]) -> None:
    if lines := [f"{source}: {mistake}" for mistake in mistakes]:
        raise SettingsError("\n".join(lines))


def _from_environment(environ: Mapping[str, str]) -> Document:
    values: Document = {}
    if host := environ.get("HOST"):
        values["host"] = host
    if port := environ.get("PORT"):
        values["port"] = _port(port)
    if data_dir := environ.get("OUTWORKER_DATA_DIR"):
        values["data_dir"] = data_dir
    return values


def _port(text: str) -> int:
    # Only ASCII digits: int() would also take " 80 ", "8_0" and digits of other scripts.
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT)) and int(text) <= MAX_PORT):
        raise SettingsError(
            f"environment: PORT: expected a whole number from 0 to {MAX_PORT}, found {found(text)}"
        )
    return int(text)


def _database(environ: Mapping[str, str]) -> str:
    """Where a password must not stand in a file that others read."""
    text = environ.get("OUTWORKER_DATABASE", "")
    if text and (mistakes := document_mistakes({"database": text})):
        raise SettingsError(f"environment: OUTWORKER_DATABASE: {mistakes[0].removeprefix('database: ')}")
    return text


def _hosts(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise SettingsError(
                f"environment: ALLOWED_HOSTS: expected names or addresses without a port, with commas between them, "
                f"found {found(name)}"
            )
    return names


def _server(values: Document) -> Server:
    lowered = {key: tuple(text.lower() for text in values[key]) for key in ("allowed_hosts", "cors_origins")}
    data_dir = home() / Path(values["data_dir"]).expanduser()
    return Server(**_typed(Server, {**values, **lowered, "data_dir": data_dir}))


def _model(values: Document) -> Model:
    aliases = values["aliases"]
    return Model(**_typed(Model, {**values, "aliases": None if aliases is None else tuple(aliases)}))


def _typed(kind: type, values: Document) -> dict[str, Any]:
    """The values, with `int` where the field is one: a JSON Schema takes 5.0 for an integer."""
    whole = {field.name for field in fields(kind) if field.type in (int, int | None)}
    return {key: int(value) if key in whole and value is not None else value for key, value in values.items()}
