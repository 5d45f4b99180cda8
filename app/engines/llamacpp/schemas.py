"""What a JSON schema allows in one place, as plain schemas: without references, `allOf`, `anyOf` and `oneOf`."""

import json
from collections import deque
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from app.constrained.gbnf import CannotConvert

MAX_HOPS: Final = 64
MAX_READ_CHARS: Final = 4_000_000
"""Of schemas in JSON, taken together over all the places that refer to them."""

PLAIN: Final = frozenset(("$defs", "definitions", "title", "description", "type"))
NO_VALUE: Final = "it allows no value in some place"
ENDLESS: Final = "it refers to what is not in it, or to itself without end"
BY_NAME: Final = "it refers to a part by a name: write its path (#/$defs/...)"


class Schemas:
    """Of one root, which is what `#` refers to."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = MAX_READ_CHARS

    def plain(self, schemas: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """All that any of them allows, by its text, each once; `{}` allows everything. Raises CannotConvert."""
        found: dict[str, dict[str, Any]] = {}
        seen: set[str] = set()
        waiting = deque(schemas)
        while waiting:
            schema = {} if (taken := waiting.popleft()) is True else taken
            text = self._text(schema)
            if isinstance(schema, dict) and text not in seen:
                seen.add(text)
                parts = self._parts(schema)
                waiting.extendleft(reversed(parts))
                if not parts:
                    found[text] = schema
        if not found:
            raise CannotConvert(NO_VALUE)
        return found

    def _text(self, schema: Any) -> str:
        text = json.dumps(schema)
        self._left -= len(text)
        if self._left < 0:
            raise CannotConvert("its parts refer to each other too often")
        return text

    def _parts(self, schema: dict[str, Any]) -> list[Any]:
        """The schemas that it consists of, none for a plain one."""
        if "$ref" in schema:
            return [self._resolved(str(schema["$ref"]))]
        if "allOf" in schema:
            return [self._merged(schema)]
        word = next((word for word in ("anyOf", "oneOf") if word in schema), None)
        if word is None or "const" in schema or "enum" in schema:
            return []
        rest = {key: value for key, value in schema.items() if key != word}
        return [_with(rest, one) for one in schema[word]] or [False]

    def _resolved(self, reference: str, hops: int = 0) -> Any:
        if not reference.startswith("#") or hops > MAX_HOPS:
            raise CannotConvert(ENDLESS)
        name, *parts = unquote(reference[1:]).split("/")
        if name:
            raise CannotConvert(BY_NAME)
        place = self._root
        for part in parts:
            place = _member(place, part.replace("~1", "/").replace("~0", "~"))
        if isinstance(place, dict) and place.keys() == {"$ref"}:
            return self._resolved(str(place["$ref"]), hops + 1)
        if place is None:
            raise CannotConvert(ENDLESS)
        return place

    def _merged(self, schema: dict[str, Any]) -> Any:
        """`allOf` as one schema, as far as properties and plain keywords go."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            hops = 0
            while isinstance(part, dict) and "$ref" in part:
                part, hops = self._resolved(str(part["$ref"])), hops + 1  # noqa: PLW2901
                if hops > MAX_HOPS:
                    raise CannotConvert(ENDLESS)
            if part is False:
                return False
            merged = _with(merged, part if isinstance(part, dict) else {})
        return merged


def _member(value: Any, key: str) -> Any:
    if isinstance(value, list):
        value = {str(place): one for place, one in enumerate(value)}
    return value.get(key) if isinstance(value, dict) else None


def _with(one: dict[str, Any], other: Any) -> Any:
    """Both at once: properties are joined, requirements added, of everything else the second counts."""
    if not isinstance(other, dict):
        return one if other is True else other
    if "$ref" in other and not one.keys() - PLAIN:
        return other
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = [*one["required"], *other["required"]]
    return joined
