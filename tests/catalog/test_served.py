from dataclasses import replace

from app.catalog.cards import STAND_IN_NOTE, ModelCard, as_served
from app.settings.values import STAND_IN


def test_the_stand_in_says_what_it_is(cf: ModelCard) -> None:
    shown = as_served(cf, STAND_IN)
    assert shown.description == f"{cf.description} Served here by {STAND_IN_NOTE}."
    assert shown.published == {**cf.published, "description": shown.description}
    assert replace(shown, description=cf.description, raw=cf.raw) == cf
    assert as_served(replace(cf, description=""), STAND_IN).description == f"Served here by {STAND_IN_NOTE}."


def test_a_card_with_its_own_weights_is_shown_as_published(cf: ModelCard) -> None:
    assert as_served(cf, "mistralai/Mistral-7B-Instruct-v0.2") is cf
