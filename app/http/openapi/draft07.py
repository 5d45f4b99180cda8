"""JSON schemas of draft-07, which cards are written in, in the words of 2020-12, which OpenAPI 3.1 speaks.

Most words mean the same in both; changed is only what does not. Cards have no `$ref` (see `app.catalog.cards`), so no
pointer can break.
"""

from typing import Any

ONE_SCHEMA = ("not", "if", "then", "else", "contains", "propertyNames", "additionalProperties", "items")
LISTS_OF_SCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "dependentSchemas")
LEFT_OUT = ("$schema", "$id")


def modern(schema: Any) -> Any:
    """The same schema in 2020-12. A schema may be a boolean."""
    if not isinstance(schema, dict):
        return schema
    words = _renamed(schema)
    for word in ONE_SCHEMA:
        if word in words:
            words[word] = modern(words[word])
    for word in LISTS_OF_SCHEMAS:
        if word in words:
            words[word] = [modern(inner) for inner in words[word]]
    for word in MAPS_OF_SCHEMAS:
        if word in words:
            words[word] = {name: modern(inner) for name, inner in words[word].items()}
    return words


def _renamed(schema: dict[str, Any]) -> dict[str, Any]:
    words = {word: value for word, value in schema.items() if word not in LEFT_OUT}
    rest = words.pop("additionalItems", True)
    if isinstance(words.get("items"), list):
        words["prefixItems"] = words.pop("items")
        words |= {"items": rest} if rest is not True else {}
    if "definitions" in words:
        words["$defs"] = words.pop("definitions")
    return words | _dependencies(words.pop("dependencies", {}))


def _dependencies(dependencies: dict[str, Any]) -> dict[str, Any]:
    """One word in draft-07, two since."""
    names = {key: value for key, value in dependencies.items() if isinstance(value, list)}
    schemas = {key: value for key, value in dependencies.items() if not isinstance(value, list)}
    found = {"dependentRequired": names, "dependentSchemas": schemas}
    return {word: value for word, value in found.items() if value}
