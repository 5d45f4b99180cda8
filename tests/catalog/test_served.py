from dataclasses import replace

from app.catalog.cards import STAND_IN, ModelCard, as_served
from app.server.banner import STAND_IN_NOTE
from app.weights.source import STAND_IN as STAND_IN_OF_THE_SETTINGS


def test_the_stand_in_says_what_it_is(cf: ModelCard) -> None:
    shown = as_served(cf, STAND_IN)
    assert shown.description == f"{cf.description} Served here by {STAND_IN_NOTE}."
    assert shown.published == {**cf.published, "description": shown.description}
    assert replace(shown, description=cf.description, raw=cf.raw) == cf
    assert as_served(replace(cf, description=""), STAND_IN).description == f"Served here by {STAND_IN_NOTE}."


def test_a_card_with_its_own_weights_is_shown_as_published(cf: ModelCard) -> None:
    assert as_served(cf, "mistralai/Mistral-7B-Instruct-v0.2") is cf


def test_one_name_for_the_stand_in() -> None:
    assert STAND_IN == STAND_IN_OF_THE_SETTINGS
