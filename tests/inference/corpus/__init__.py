"""Schemas as people's tools write them, a line of JSON each: what an engine answers to them is counted by `__main__`.

`zod.jsonl` and `pydantic.jsonl` are written by zod, pydantic and FastAPI from `zod.mjs` and `models.py`;
`keywords.jsonl` has a schema for each keyword and for how two of them meet.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILES = ("zod.jsonl", "pydantic.jsonl", "keywords.jsonl")
BOUNDS = {"array": ("maxItems",), "string": ("maxLength", "enum", "const", "pattern", "format")}
NO_SCHEMAS = ("properties", "required", "enum", "const", "default", "examples", "dependentRequired")
UNBOUNDED_PATTERN = ("+", "*", ",}")
UNBOUNDED_FORMATS = ("uri", "email", "emoji", "jwt", "base64")


@dataclass(frozen=True)
class Case:
    name: str
    schema: dict[str, Any]

    @property
    def bounded(self) -> bool:
        """Whether each text and each list says how long it may be, and no value may have another of its kind in it."""
        return _bounded(self.schema) and not _repeats(self.schema)


def load() -> list[Case]:
    folder = Path(__file__).parent
    lines = [line for name in FILES for line in (folder / name).read_text("utf-8").rstrip("\n").split("\n")]
    return [Case(**json.loads(line)) for line in lines]


def _repeats(root: dict[str, Any]) -> bool:
    """Whether a part of it refers to itself by a path."""

    def leads_back(value: Any, behind: tuple[str, ...]) -> bool:
        if isinstance(value, list):
            return any(leads_back(one, behind) for one in value)
        if not isinstance(value, dict):
            return False
        path = value.get("$ref", value.get("$dynamicRef"))
        if isinstance(path, str) and path.startswith("#"):
            if path in behind or not path.startswith("#/"):
                return path in behind or path in ("#", "#node")
            target: Any = root
            for name in path[2:].split("/"):
                target = target.get(name.replace("~1", "/").replace("~0", "~").replace("%25", "%"), {})
            return leads_back(target, (*behind, path))
        return any(
            leads_back(one, behind) for name, one in value.items() if name not in ("$defs", "components")
        )

    return leads_back(root, ())


def _bounded(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_bounded, value))
    if value is True or value == {}:
        return False
    if not isinstance(value, dict):
        return True
    parts = [part for key, part in value.items() if key not in NO_SCHEMAS and part is not True]
    parts += list(value.get("properties", {}).values())
    return _bounded_here(value) and all(map(_bounded, parts))


def _bounded_here(schema: dict[str, Any]) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds if isinstance(kinds, list) else ()
    if "array" in kinds and "maxItems" not in schema:
        return bool(schema.get("uniqueItems")) or schema.get("items") is False
    if (
        "object" in kinds
        and isinstance(schema.get("additionalProperties"), dict)
        and "maxProperties" not in schema
    ):
        return "enum" in schema.get("propertyNames", ())
    return "string" not in kinds or "maxLength" in schema or _bounded_text(schema)


def _bounded_text(schema: dict[str, Any]) -> bool:
    pattern = schema.get("pattern")
    if pattern is not None:
        ends = pattern.startswith("^") and pattern.endswith("$")
        return ends and not any(mark in pattern for mark in UNBOUNDED_PATTERN)
    return "format" in schema and not schema["format"].startswith(UNBOUNDED_FORMATS)
