"""JSON schemas as trees: where a schema has other schemas in it, and what its references lead to."""

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin

DATA: Final = frozenset(("enum", "const", "default", "example", "examples"))
"""What these have is values, not schemas."""

NAMED: Final = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
)
"""What these have is schemas by names."""

REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
BASE: Final = "http://outworker.invalid/"
"""What references without a root's own `$id` are relative to. Nothing is ever fetched."""

Pointer = tuple[str, ...]


def parts(value: Any, place: Pointer = ()) -> Iterator[tuple[Pointer, dict[str, Any]]]:
    """Every schema with its place: the value itself and all in it, under keywords that nobody knows too."""
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from parts(member, (*place, str(index)))
    elif isinstance(value, dict):
        yield place, value
        for name, member in value.items():
            if name in NAMED and isinstance(member, dict):
                for key, inner in member.items():
                    yield from parts(inner, (*place, name, key))
            elif name not in DATA:
                yield from parts(member, (*place, name))


def changed(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy in which `change` was made to every schema."""
    if isinstance(value, list):
        return [changed(member, change) for member in value]
    if not isinstance(value, dict):
        return value
    copy = {}
    for name, member in value.items():
        if name in NAMED and isinstance(member, dict):
            copy[name] = {key: changed(inner, change) for key, inner in member.items()}
        else:
            copy[name] = member if name in DATA else changed(member, change)
    return change(copy)


class References:
    """Of one root schema: by path, by `$anchor` and by `$id`, percent-encoded or not."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._bases: dict[Pointer, str] = {}
        self._places: dict[str, Pointer] = {BASE: ()}
        for place, schema in parts(root):
            self._index(place, schema)

    def resolved(self, reference: str, place: Pointer) -> tuple[Pointer, Any] | None:
        """Where a reference in the schema at `place` leads to, and what is there; None where nothing is."""
        uri, fragment = urldefrag(urljoin(self._base(place), reference))
        fragment = unquote(fragment)
        known = self._places.get(f"{uri}#{fragment}")
        if known is None:
            base = self._places.get(uri)
            if base is None or (fragment and not fragment.startswith("/")):
                return None
            known = (*base, *map(_unescaped, fragment.split("/")[1:]))
        return self._at(known)

    def _index(self, place: Pointer, schema: dict[str, Any]) -> None:
        base = self._base(place)
        own = schema.get("$id", schema.get("id"))
        if isinstance(own, str) and not own.startswith("#"):
            base = self._bases[place] = urldefrag(urljoin(base, own))[0]
            self._places[base] = place
        anchors = [schema.get(word) for word in ("$anchor", "$dynamicAnchor")]
        if isinstance(own, str) and own.startswith("#"):  # as up to draft 7
            anchors.append(own[1:])
        for anchor in anchors:
            if isinstance(anchor, str):
                self._places.setdefault(f"{base}#{anchor}", place)

    def _base(self, place: Pointer) -> str:
        around = (place[:count] for count in range(len(place), -1, -1))
        return next((self._bases[one] for one in around if one in self._bases), BASE)

    def _at(self, place: Pointer) -> tuple[Pointer, Any] | None:
        value = self._root
        for name in place:
            if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            elif isinstance(value, dict) and name in value:
                value = value[name]
            else:
                return None
        return place, value


def _unescaped(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")
