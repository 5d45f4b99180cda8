"""Whether an answer satisfies its schema, formats too: asked of jsonschema-rs, without the server's way of asking.

Patterns are given to it as the server has them, for its own are not ECMA-262's in `\\b`, `.` and a few more;
`tests/json_grammar/test_ecma.py` holds those to what Node says.
"""

import json
from typing import Any

import jsonschema_rs

from app.json_grammar.rust import rust_pattern
from app.json_grammar.schemas import changed


def is_valid(schema: dict[str, Any], value: Any) -> bool:
    """A schema of OpenAPI 3.0 has numbers as draft 4 does."""
    schema = changed(schema, _with_rust_patterns)
    value = json.loads(json.dumps(value))
    try:
        return jsonschema_rs.validator_for(schema, offline=True, validate_formats=True).is_valid(value)
    except jsonschema_rs.ValidationError:
        return jsonschema_rs.Draft4Validator(schema, offline=True, validate_formats=True).is_valid(value)


def _with_rust_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = rust_pattern(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        patterns = schema["patternProperties"]
        schema["patternProperties"] = {rust_pattern(pattern): value for pattern, value in patterns.items()}
    return schema
