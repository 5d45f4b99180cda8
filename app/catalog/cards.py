"""Model cards: one JSON file per model in `schemas/`, as Workers AI publishes it.

A card is an item of `models/search` plus `schema: {input, output}`, the answer of `models/schema`. Every file
of the folder that ends in `.json` is a card, but not the ones that end in `.schema.json`. Serving another
model is adding a card.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from app.catalog.validate import InputSchema
from app.errors import SettingsError, printable
from app.resources import resource
from app.settings.values import STAND_IN

CARD_SCHEMA = resource("schemas/card.schema.json")
SCHEMA_SUFFIX = ".schema.json"
NOT_IN_SEARCH = frozenset({"schema", "deprecated"})  # of a card's file (protocol notes, section 10)

STAND_IN_NOTE = "the stand-in: a small model that this project trained itself, not Mistral 7B"


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """In tokens of the model. `max_input_tokens` is None where a card bounds only input plus output."""

    max_input_tokens: int | None
    max_total_tokens: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A checked card. `properties` maps property ids to values, most often strings; `raw` is the file."""

    id: str
    name: str
    description: str
    task: str
    properties: dict[str, Any] = field(repr=False)
    limits: TokenLimits
    supports_lora: bool
    max_batch_prefill_tokens: int | None
    input: InputSchema = field(repr=False)
    raw: dict[str, Any] = field(repr=False)

    @property
    def author(self) -> str:
        """The part of the name between the slashes."""
        return self.name.split("/")[1]

    @property
    def source(self) -> int:
        """1: Cloudflare, `@cf`; 2: Hugging Face, `@hf`."""
        return int(self.raw["source"])

    @property
    def published(self) -> dict[str, Any]:
        """The item of `models/search`."""
        return {key: value for key, value in self.raw.items() if key not in NOT_IN_SEARCH}


def load_cards(folder: Path) -> dict[str, ModelCard]:
    """Every card of a folder by model name. Raises `SettingsError`: a broken card, two of one name, none."""
    try:
        files = sorted(path for path in folder.iterdir() if _is_card(path))
    except OSError as error:
        raise SettingsError(f"{folder}: the folder of model cards can't be read: {error.strerror}") from None
    if not files:
        raise SettingsError(f"{folder}: no model card (a file that ends in .json) is in this folder")
    cards: dict[str, ModelCard] = {}
    for path in files:
        card = load_card(path)
        if any(card.name == other.name or card.id == other.id for other in cards.values()):
            raise SettingsError(
                f"{path}: another card has the name {printable(card.name)} or the same id: keep one"
            )
        cards[card.name] = card
    return cards


def load_card(path: Path) -> ModelCard:
    """One card. Raises `SettingsError`: one line with the file, the place in it and the rule."""
    raw = _read(path)
    refuse = partial(_refusal, path)
    _check_shape(path, raw)
    properties = {item["property_id"]: item["value"] for item in raw["properties"]}
    number = partial(_tokens, path, properties)
    try:
        jsonschema_rs.Draft7Validator(raw["schema"]["output"], offline=True)
        accepted = InputSchema(raw["schema"]["input"])
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise refuse(f"schema is not a draft-07 JSON schema without $ref: {_one_line(error)}") from None
    return ModelCard(
        id=raw["id"],
        name=raw["name"],
        description=raw["description"],
        task=raw["task"]["name"],
        properties=properties,
        limits=_limits(path, properties),
        supports_lora=properties.get("lora") == "true",
        max_batch_prefill_tokens=number("max_batch_prefill_tokens"),
        input=accepted,
        raw=raw,
    )


def _is_card(path: Path) -> bool:
    return path.suffix == ".json" and not path.name.endswith(SCHEMA_SUFFIX)


def _read(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise _refusal(path, f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except OSError as error:
        raise _refusal(path, f"can't be read: {error.strerror}") from None


def _check_shape(path: Path, raw: Any) -> None:
    shape = jsonschema_rs.Draft7Validator(_read(CARD_SCHEMA), mask="the value", offline=True)
    try:
        shape.validate(raw)
    except jsonschema_rs.ValidationError as error:
        place = "/" + "/".join(str(step) for step in error.instance_path)
        raise _refusal(path, f"at {printable(place)}: {_one_line(error)}") from None


def _limits(path: Path, properties: dict[str, Any]) -> TokenLimits:
    """Input and total where a card has both, else the context window for both together."""
    total = _tokens(path, properties, "max_total_tokens")
    if total is not None:
        return TokenLimits(_tokens(path, properties, "max_input_length"), total)
    window = _tokens(path, properties, "context_window")
    if window is None:
        raise _refusal(path, "properties need max_total_tokens (with max_input_length) or context_window")
    return TokenLimits(None, window)


def _tokens(path: Path, properties: dict[str, Any], name: str) -> int | None:
    value = properties.get(name)
    if value is None:
        return None
    if not (
        isinstance(value, str)
        and value.isascii()
        and value.isdecimal()
        and 0 < len(value) <= 9
        and int(value)
    ):
        raise _refusal(
            path, f"property {name} must be a whole number of tokens above 0, as a string of digits"
        )
    return int(value)


def _one_line(error: Exception) -> str:
    return printable(getattr(error, "message", None) or str(error).splitlines()[0])


def _refusal(path: Path, what: str) -> SettingsError:
    return SettingsError(f"{path}: {what}")


def as_served(card: ModelCard, weights: str) -> ModelCard:
    """The card of a model that the engine serves with `weights`."""
    if weights != STAND_IN:
        return card
    description = f"{card.description} Served here by {STAND_IN_NOTE}.".lstrip()
    return replace(card, description=description, raw={**card.raw, "description": description})
