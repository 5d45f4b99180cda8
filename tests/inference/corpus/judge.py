"""Whether an answer satisfies its schema: asked of jsonschema-rs, formats too, without a line of the server's."""

import json
from typing import Any

import jsonschema
import jsonschema_rs


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    """jsonschema judges where jsonschema-rs can't read a pattern."""
    try:
        return jsonschema_rs.validator_for(schema, offline=True, validate_formats=True).is_valid(
            json.loads(json.dumps(value))
        )
    except (jsonschema_rs.ValidationError, ValueError):
        kind = jsonschema.validators.validator_for(schema)
        return bool(kind(schema).is_valid(value))
