"""JSON mode: an answer that must be JSON, with or without a schema of the client's."""

from typing import Any, Final

import orjson

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.catalog.refusals import refusal
from app.inference.constrained.schema_limits import check_schema
from app.types import Grammar, JsonFormat

PATH: Final[Path] = ("response_format", "json_schema")
WRAPPER_KEYS: Final = frozenset({"name", "strict", "schema"})
ANY_OBJECT: Final = {"type": "object"}


def read_json_format(response_format: dict[str, Any] | None) -> JsonFormat | None:
    """`response_format` of a valid body: `json_object`, or `json_schema` bare or in OpenAI's wrapper.

    Raises `BadInput` for a schema that is missing, no object, or beyond the bounds.
    """
    kind = response_format.get("type") if response_format is not None else None
    if response_format is None or kind not in ("json_object", "json_schema"):
        return None
    if kind == "json_object":
        return JsonFormat()
    path, schema = _unwrapped(response_format.get("json_schema"))
    if schema is None:
        raise refusal(error_texts.missing(path[:-1], path[-1:]))
    if not isinstance(schema, dict):
        raise refusal(error_texts.wrong_type(path, "object", schema))
    check_schema(path, schema)
    return JsonFormat(schema)


def grammar_of_json(json_format: JsonFormat) -> Grammar:
    """The schema's properties stay in their order, which is then the answer's."""
    schema = ANY_OBJECT if json_format.schema is None else json_format.schema
    return Grammar(json_schema=orjson.dumps(schema).decode())


def _unwrapped(schema: Any) -> tuple[Path, Any]:
    """JSON Schema has none of the wrapper's names as keywords: `schema`, or nothing but the others, tells it."""
    if isinstance(schema, dict) and ("schema" in schema or (schema and schema.keys() <= WRAPPER_KEYS)):
        return (*PATH, "schema"), schema.get("schema")
    return PATH, schema
