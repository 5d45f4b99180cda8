"""The verdict on a request's body: the published JSON schema decides, draft-07.

A body of 20 messages takes a compiled validator about 1.5 microseconds, so validation is not worth a thread.
The words of a refusal are made only once there is one (`app.catalog.cabidela`, `app.catalog.explain`).
"""

from dataclasses import dataclass
from typing import Any

import jsonschema_rs

from app.catalog import error_texts
from app.catalog.cabidela import workers_ai_text
from app.catalog.explain import Node, first_errors
from app.errors import BadInput


@dataclass(frozen=True, slots=True)
class Branch:
    """One alternative of an input schema, named after the first property it requires: `prompt` or `messages`.

    `properties` are those that it types; any other property of a body is open, whatever its value.
    """

    name: str
    properties: frozenset[str]
    required: frozenset[str]
    node: Node


class InputSchema:
    """A card's input schema, compiled once. Immutable and safe to share between tasks and threads."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """`schema` is an object schema with a `oneOf` of branches that have `properties` and `required`.

        Raises `jsonschema_rs.ValidationError` where it is no draft-07 schema.
        """
        self.schema = schema
        self._validator = jsonschema_rs.Draft7Validator(schema, offline=True)
        self.branches = tuple(_branch(node) for node in Node.compiled(schema).one_of)
        self.properties = frozenset().union(*(branch.properties for branch in self.branches))

    def is_valid(self, body: object) -> bool:
        """`body` is anything that orjson parses."""
        return self._validator.is_valid(body)

    def check(self, body: object) -> Branch:
        """The branch that `body` matches. Raises `app.errors.BadInput` with Workers AI's text or ours."""
        if isinstance(body, dict) and self._validator.is_valid(body):
            return self._matched(body)
        raise BadInput(workers_ai_text(self.schema, body) or self._own_text(body))

    def _matched(self, body: dict[str, Any]) -> Branch:
        """The branch that accepts a valid body: mostly the only one whose required properties are there."""
        possible = [branch for branch in self.branches if branch.required <= body.keys()]
        if len(possible) == 1:
            return possible[0]
        return next(branch for branch in possible if branch.node.accepts(body))

    def _own_text(self, body: Any) -> str:
        refusing = [branch.node for branch in self.branches if not branch.node.accepts(body)]
        matches = len(self.branches) - len(refusing)
        if matches > 1:
            return f"Error: {error_texts.one_of((), matches)}"
        errors = dict.fromkeys(error for node in refusing for error in first_errors(node, body))
        return error_texts.refused(*errors)


def _branch(node: Node) -> Branch:
    required = node.schema["required"]
    return Branch(
        name=required[0],
        properties=frozenset(node.properties),
        required=frozenset(required),
        node=node,
    )
