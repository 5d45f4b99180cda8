"""What Workers AI says about a body that it refuses, character for character.

Its text comes from `@cloudflare/cabidela` 0.2.4. This module follows that validator's behaviour, quirks
included, for the keywords oneOf, anyOf, type, properties, required, items, additionalProperties, enum,
minLength, maxLength and the four bounds; other keywords are not looked at. The verdict is never taken from
here: `app.catalog.validate` has it from the JSON schema.

The quirks that show in texts:

- All alternatives of one walk share one ordered set of errors, so a string `content` leaves
  `'array' not in 'string'` behind.
- An alternative throws its first error only; one that fails below the root leaves its property absent.
- A list of strings and numbers (an empty one too) is `binary` and passes where a list is wanted.
- A number, boolean or null where a list is wanted is no error of its own: the property counts as absent.
- The members of an additional property are named by a path that starts at that property.

Hostile bodies: a walk makes at most `MAX_VISITS` steps and then says nothing (the caller has words of its
own); errors of alternatives below the root are listed up to `MAX_LISTED_ERRORS` and `MAX_LISTED_CHARS`, then
counted. What the branches themselves threw is always listed. The recursion follows the schema, so its depth
is the schema's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.catalog import error_texts, javascript
from app.catalog.error_texts import Path
from app.errors import printable

MAX_VISITS = 10_000
MAX_LISTED_ERRORS = 128
MAX_LISTED_CHARS = 16_384
MAX_NAMED_PROPERTIES = 16
ITEMS_PER_VISIT = 16

MISSING: Any = object()
Schema = dict[str, Any]


def workers_ai_text(schema: Schema, body: Any) -> str | None:
    """The text that refuses `body`; None where Workers AI's validator accepts it or the walk is too long."""
    try:
        _Walk().visit(schema, _Spot(body, (), _Errors()))
    except _ThrownError as thrown:
        return f"Error: {thrown}"
    except _TooManyVisitsError:
        return None
    return None


class _ThrownError(Exception):
    """One error of the walked validator."""


class _TooManyVisitsError(Exception):
    """The walk would take longer than an answer may."""


@dataclass(slots=True)
class _Errors:
    """An ordered set of texts, bounded."""

    listed: dict[str, None] = field(default_factory=dict)
    chars: int = 0
    unlisted: int = 0

    def add(self, text: str, *, always: bool) -> None:
        if text in self.listed:
            return
        if always or (len(self.listed) < MAX_LISTED_ERRORS and self.chars < MAX_LISTED_CHARS):
            self.listed[text] = None
            self.chars += len(text)
        else:
            self.unlisted += 1

    def __str__(self) -> str:
        return ", ".join([*self.listed, f"and {self.unlisted} more"] if self.unlisted else self.listed)


@dataclass(frozen=True, slots=True)
class _Spot:
    """A value (or MISSING), where it is, and where its errors go."""

    value: Any
    path: Path
    errors: _Errors
    in_alternative: bool = False

    def below(self, name: str, value: Any) -> "_Spot":
        return _Spot(value, (*self.path, name), self.errors, self.in_alternative)

    def alternative(self) -> "_Spot":
        return _Spot(self.value, self.path, self.errors, in_alternative=True)

    def error(self, text: str) -> _ThrownError:
        """What is thrown outside an alternative carries the list of errors so far."""
        silent = self.in_alternative or not self.errors.listed
        return _ThrownError(text if silent else f"{text}: {self.errors}")


@dataclass(slots=True)
class _Walk:
    visits_left: int = MAX_VISITS

    def visit(self, schema: Any, spot: _Spot) -> int:
        """How often the value matches: 0 is absent, a list may match often. Raises what it throws."""
        self._spend(spot.value)
        if not isinstance(schema, dict):
            return int(spot.value is not MISSING)
        if "oneOf" in schema or "anyOf" in schema:
            return self._alternatives(schema, spot)
        if schema.get("type") == "array" and not _passes_as_binary(spot.value):
            return self._items(schema, spot)
        if schema.get("type") == "object" or "properties" in schema:
            return self._object(schema, spot)
        return _value(schema, spot)

    def _spend(self, value: Any) -> None:
        self.visits_left -= 1 + (len(value) // ITEMS_PER_VISIT if isinstance(value, (list, dict)) else 0)
        if self.visits_left < 0:
            raise _TooManyVisitsError

    def _alternatives(self, schema: Schema, spot: _Spot) -> int:
        """Unless an alternative threw, oneOf goes on with exactly 1 match so far, anyOf with none."""
        one_of = "oneOf" in schema
        goes_on_with = 1 if one_of else 0
        rounds = 0
        for option in schema["oneOf" if one_of else "anyOf"]:
            try:
                rounds += self.visit({"type": schema.get("type"), **option}, spot.alternative())
            except _ThrownError as thrown:
                spot.errors.add(str(thrown), always=not spot.path)
                continue
            if rounds != goes_on_with:
                break
        met = rounds == 1 if one_of else rounds != 0
        if not met and not spot.path:
            raise spot.error(error_texts.one_of((), rounds) if one_of else error_texts.any_of(()))
        return int(met)

    def _items(self, schema: Schema, spot: _Spot) -> int:
        items = schema.get("items", True)
        return sum(self.visit(items, spot.below(name, item)) for name, item in self._members(spot.value))

    def _members(self, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, list):
            yield from ((str(index), item) for index, item in enumerate(value))
        elif isinstance(value, dict):
            yield from ((printable(name), value[name]) for name in self._own_keys(value))

    def _own_keys(self, value: dict[str, Any]) -> list[str]:
        """Putting keys in order takes all of them: refused where there are more than visits left."""
        if len(value) > self.visits_left:
            raise _TooManyVisitsError
        return javascript.own_keys(value)

    def _object(self, schema: Schema, spot: _Spot) -> int:
        members = spot.value if isinstance(spot.value, dict) else {}
        properties = schema.get("properties", {})
        matched = {
            name
            for name, rules in properties.items()
            if self.visit(rules, spot.below(name, members.get(name, MISSING))) > 0
        }
        count = len(matched) + self._additional(schema, spot, members, matched)
        required = schema.get("required", ())
        if not matched.issuperset(required):
            raise spot.error(error_texts.missing(spot.path, required))
        return int(count > 0)

    def _additional(self, schema: Schema, spot: _Spot, members: dict[str, Any], matched: set[str]) -> int:
        rules = schema.get("additionalProperties", MISSING)
        if rules is MISSING:
            return 0
        names = [name for name in self._own_keys(members) if name not in matched]
        if rules is False:
            if names:
                named = [printable(name) for name in names[:MAX_NAMED_PROPERTIES]]
                raise spot.error(error_texts.unexpected(spot.path, named))
            return 0
        # A name with a slash is looked up by what follows its last slash.
        looked_up = (name.rpartition("/")[2] for name in names)
        spots = (_Spot(members.get(name, MISSING), (printable(name),), _Errors()) for name in looked_up)
        return sum(self.visit(rules, below) > 0 for below in spots)


def _passes_as_binary(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and "binary" in javascript.type_names(value))


def _value(schema: Schema, spot: _Spot) -> int:
    if spot.value is MISSING:
        return 0
    error = _value_error(schema, spot.value, spot.path)
    if error is not None:
        raise spot.error(error)
    return 1


def _value_error(schema: Schema, value: Any, path: Path) -> str | None:
    kind = schema.get("type")
    if "enum" in schema:
        if not javascript.is_among(value, schema["enum"]):
            return error_texts.not_in_enum(path, schema["enum"], value)
        if kind is None:
            return None
    if "type" in schema and kind not in javascript.type_names(value):
        return error_texts.wrong_type(path, _type_text(kind), value)
    if kind == "string":
        return error_texts.length_error(path, schema, javascript.utf16_length(value))
    return error_texts.bound_error(path, schema, value) if kind in ("number", "integer") else None


def _type_text(kind: Any) -> str:
    """An alternative always has a type there: its own, its parent's, or JavaScript's `undefined`."""
    return "undefined" if kind is None else ",".join(kind) if isinstance(kind, list) else str(kind)
