"""Refusals of a field: one in the shape of the card's own validator, one as other fields of the platform are refused."""

from typing import Any

from app.catalog import error_texts
from app.catalog.error_texts import Path
from app.errors import BadInput


def refusal(error: str) -> BadInput:
    """In the validator's shape: of what a card's schema has, or could have."""
    return BadInput(error_texts.refused(error))


def mistyped(path: Path, wanted: str, value: Any) -> BadInput:
    """`refusal` of a value whose JSON type is not `wanted`."""
    return refusal(error_texts.wrong_type(path, wanted, value))


def plain_refusal(error: str, path: Path = ()) -> BadInput:
    """Of what no card's schema has: queries, other dialects' fields. `path` where the text does not begin with it."""
    return BadInput(f"Error: {error}", path)
