"""The cards of this repository, and the recorded verdicts and texts of Workers AI."""

from pathlib import Path

import pytest

from app.catalog.cards import ModelCard, load_cards

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cards() -> dict[str, ModelCard]:
    return load_cards(ROOT / "schemas")


@pytest.fixture(scope="session")
def hf(cards: dict[str, ModelCard]) -> ModelCard:
    return cards["@hf/mistral/mistral-7b-instruct-v0.2"]


@pytest.fixture(scope="session")
def cf(cards: dict[str, ModelCard]) -> ModelCard:
    return cards["@cf/mistral/mistral-7b-instruct-v0.2-lora"]
