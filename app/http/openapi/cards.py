"""What the model cards say, as components: each card's own schemas, and what all of them together take and give."""

import re
from collections.abc import Sequence
from typing import Any

from app.catalog.cards import ModelCard
from app.http.openapi.draft07 import modern

# Fields of a card's input that the other APIs take too. There a null counts as absent.
SHARED_FIELDS = (
    "stream",
    "raw",
    "lora",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
)
NULL = {"type": "null"}

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def component_name(text: str) -> str:
    """`text` with what OpenAPI allows in a component's name."""
    return _NO_NAME.sub(".", text).strip(".")


def ref(name: str) -> dict[str, Any]:
    """A schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def card_schemas(cards: Sequence[ModelCard]) -> dict[str, Any]:
    """By component name."""
    names = [component_name(card.name) for card in cards]
    published = {
        f"{name}.{side}": modern(card.raw["schema"][side])
        for name, card in zip(names, cards, strict=True)
        for side in ("input", "output")
    }
    return {
        **published,
        **{f"Setting.{field}": {"anyOf": [*_published(cards, field), NULL]} for field in SHARED_FIELDS},
        "ServedModel": {"type": "string", "enum": [card.name for card in cards]},
        "TextInput": {"anyOf": [ref(f"{name}.input") for name in names]},
        "TextOutput": {"anyOf": [*(ref(f"{name}.output") for name in names), ref("JsonOutput")]},
    }


def _published(cards: Sequence[ModelCard], field: str) -> list[Any]:
    """Every schema that a card has for the field, each once."""
    found: list[Any] = []
    for card in cards:
        for branch in card.input.branches:
            schema = modern(branch.node.schema["properties"].get(field))
            if schema is not None and schema not in found:
                found.append(schema)
    return found
