"""Cards as this server shows them: as published, but for one sentence where another model answers."""

from dataclasses import replace

from app.catalog.cards import ModelCard

STAND_IN = "stand-in"
STAND_IN_NOTE = "the stand-in: a small model that this project trained itself, not Mistral 7B"


def as_served(card: ModelCard, weights: str) -> ModelCard:
    """The card of a model that the engine serves with `weights`."""
    if weights != STAND_IN:
        return card
    description = f"{card.description} Served here by {STAND_IN_NOTE}.".lstrip()
    return replace(card, description=description, raw={**card.raw, "description": description})
