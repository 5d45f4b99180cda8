"""The table as a JSON Schema, and the defaults as a document.

`schemas/settings.schema.json` is this schema; editors find it through the `$schema` key of a JSONC file.
"""

from typing import Any

from app.settings.table import DEFAULT_MODELS, ENV_NAME, TABLE, Setting

ENTRY = "models[]."


def settings_schema() -> dict[str, Any]:
    """The schema of a settings file: every key but a model's `name` is optional, unknown keys are refused."""
    keys = {"$schema": {"type": "string"}, **_keys()}
    overrides = {"type": "object", "additionalProperties": False, "properties": _keys()}
    env = {
        "type": "object",
        "description": "Overrides, chosen with --env NAME: tables are merged, arrays replaced.",
        "propertyNames": {"pattern": ENV_NAME},
        "additionalProperties": {"$ref": "#/$defs/overrides"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Outworker settings",
        "type": "object",
        "additionalProperties": False,
        "properties": {**keys, "env": env},
        "$defs": {"overrides": overrides},
    }


def model_defaults() -> dict[str, Any]:
    """Defaults of one `[[models]]` entry, `name` excepted. A setting without a default is None."""
    rows = (row for row in TABLE if row.name.startswith(ENTRY))
    return {row.name.removeprefix(ENTRY): row.default for row in rows if row.name != f"{ENTRY}name"}


def defaults() -> dict[str, Any]:
    """The document that an empty file stands for."""
    document: dict[str, Any] = {}
    for row in TABLE:
        if not row.name.startswith(ENTRY):
            _table_of(row, document)[row.name.rpartition(".")[2]] = row.default
    return {**document, "models": [{"name": name} for name in DEFAULT_MODELS]}


def _keys() -> dict[str, Any]:
    keys: dict[str, Any] = {}
    entry = _object(required=["name"])
    for row in TABLE:
        if row.name.startswith(ENTRY):
            keys.setdefault("models", {"type": "array", "minItems": 1, "items": entry})
            entry["properties"][row.name.removeprefix(ENTRY)] = _fragment(row)
        elif "." in row.name:
            table, _, key = row.name.partition(".")
            keys.setdefault(table, _object())["properties"][key] = _fragment(row)
        else:
            keys[row.name] = _fragment(row)
    return keys


def _object(required: list[str] | None = None) -> dict[str, Any]:
    base: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    return {**base, "required": required} if required else base


def _fragment(row: Setting) -> dict[str, Any]:
    help_text = f"{row.help} Unit: {row.unit}." if row.unit else row.help
    fragment = {**row.schema, "description": help_text}
    return fragment if row.default is None else {**fragment, "default": row.default}


def _table_of(row: Setting, document: dict[str, Any]) -> dict[str, Any]:
    table, dot, _ = row.name.partition(".")
    return document.setdefault(table, {}) if dot else document
