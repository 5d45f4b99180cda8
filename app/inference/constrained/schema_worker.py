"""`python -m app.inference.constrained.schema_worker`: judges schemas and texts for
`app.inference.constrained.schema_checker`.

jsonschema-rs decides, with the draft that the schema names, and with patterns that mean what ECMA-262 says. No reference
is ever fetched.
"""

import json
from typing import Any, Final
from urllib.parse import quote, unquote

import jsonschema_rs

from app.errors import printable
from app.inference.constrained.worker_main import serve
from app.json_grammar.ecma import NotEcma, parse
from app.json_grammar.rust import rust_pattern
from app.json_grammar.schemas import REFERENCES, References, changed, parts

MEMORY_MAX_BYTES: Final = 512 * 1024 * 1024
OLDER: Final = (jsonschema_rs.Draft7Validator, jsonschema_rs.Draft4Validator)
"""What a schema without `$schema` is taken for where it is none of 2020-12: lists in `items` and `exclusiveMinimum: true`
are what OpenAPI 3.0 and older generators write.
"""
DIGITS: Final = frozenset("0123456789")
FRAGMENT: Final = "/~!$&'()*+,;=:@?"
"""What stands for itself in a reference behind `#`."""


def work(job: dict[str, Any]) -> dict[str, Any]:
    """`{"schema"}` or `{"schema", "text"}`; the answer's `wrong` says in a few words what is, or is null."""
    try:
        return {"wrong": _fault(job["schema"], job.get("text"))}
    except jsonschema_rs.ReferencingError as error:
        return {"wrong": f"the schema can't be applied: {printable(str(error))}"}
    except RecursionError:
        return {"wrong": "the schema refers to itself without end"}
    except (ArithmeticError, ValueError, TypeError) as error:
        return {"wrong": f"the schema can't be applied: {printable(str(error))}"}


def _fault(schema: Any, text: str | None) -> str | None:
    wrong = _of_patterns(schema) or _of_references(schema)
    if wrong is not None:
        return wrong
    try:
        validator = _validator(changed(schema, _as_read))
    except jsonschema_rs.ValidationError as error:
        return _too_large_pattern(error) or _rule(error)
    if text is None:
        return None
    broken = next(validator.iter_errors(json.loads(text)), None)
    return None if broken is None else _rule(broken)


def _validator(schema: Any) -> Any:
    """Formats are a note to most validators, as they are here. Raises ValidationError of the newest draft."""
    if isinstance(schema, dict) and "$schema" in schema:
        if isinstance(schema["$schema"], str) and _knows(schema["$schema"]):
            return jsonschema_rs.validator_for(schema, offline=True, validate_formats=False)
        schema = {name: value for name, value in schema.items() if name != "$schema"}
    try:
        return jsonschema_rs.Draft202012Validator(schema, offline=True, validate_formats=False)
    except jsonschema_rs.ValidationError:
        for draft in OLDER:
            try:
                return draft(schema, offline=True, validate_formats=False)
            except jsonschema_rs.ValidationError:
                continue
        raise


def _knows(dialect: str) -> bool:
    try:
        jsonschema_rs.validator_for({"$schema": dialect}, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError):
        return False
    return True


def _of_patterns(schema: Any) -> str | None:
    for place, part in parts(schema):
        for name, pattern in _patterns(part):
            try:
                parse(pattern)
            except NotEcma as error:
                return f"'{_shown((*place, name))}' is not an ECMA-262 regular expression: {error}"
    return None


def _patterns(schema: dict[str, Any]) -> list[tuple[str, str]]:
    keys = schema.get("patternProperties")
    found = [("patternProperties", key) for key in keys] if isinstance(keys, dict) else []
    return [*found, ("pattern", schema["pattern"])] if isinstance(schema.get("pattern"), str) else found


def _of_references(schema: Any) -> str | None:
    references = References(schema)
    for place, part in parts(schema):
        for name in REFERENCES:
            target = part.get(name)
            if (
                isinstance(target, str)
                and references.resolved(target, place) is None
                and not _is_draft(target)
            ):
                return f"the schema has no {printable(target.removeprefix('#'))}"
    return None


def _is_draft(target: str) -> bool:
    """Whether it is one of the drafts themselves, which are known without being fetched."""
    return "json-schema.org/draft" in target


def _as_read(schema: dict[str, Any]) -> dict[str, Any]:
    """Patterns as Rust has them, and references with no more escapes than they need."""
    for name in REFERENCES:
        if isinstance(schema.get(name), str):
            before, mark, fragment = schema[name].partition("#")
            schema[name] = before + mark + quote(unquote(fragment), safe=FRAGMENT)
    if isinstance(schema.get("pattern"), str):
        schema["pattern"] = rust_pattern(schema["pattern"])
    if isinstance(schema.get("patternProperties"), dict):
        schema["patternProperties"] = {
            rust_pattern(pattern): value for pattern, value in schema["patternProperties"].items()
        }
    return schema


def _too_large_pattern(error: jsonschema_rs.ValidationError) -> str | None:
    """What is wrong with a pattern that `parse` has read and that Rust has no room for."""
    if error.kind.as_dict() != {"format": "regex"}:
        return None
    return f"the pattern at '{_shown(error.instance_path)}' is too large to be checked: repeat less in it"


def _rule(error: jsonschema_rs.ValidationError) -> str:
    """Where and which keyword, without values: those are the client's or the model's."""
    words = [str(word) for word in error.schema_path if not set(str(word)) <= DIGITS]
    return f"'{_shown(error.instance_path)}' does not satisfy '{printable(words[-1] if words else 'false')}'"


def _shown(place: Any) -> str:
    return "/" + printable("/".join(map(str, place)))


if __name__ == "__main__":
    serve(work, memory_max_bytes=MEMORY_MAX_BYTES)
