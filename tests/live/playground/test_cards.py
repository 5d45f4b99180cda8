"""Models: another card, one of quite another form, and choices that come too late or fail."""

import json
import time

import pytest
from playwright.sync_api import Route

from tests.live.playground.visit import Visit
from tests.live.server import CF, HF

pytestmark = pytest.mark.engine

OTHER_CARD = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": {"type": "string", "minLength": 1, "maxLength": 10},
        "size": {"enum": [256, 512], "description": "A choice of numbers"},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "label": {"type": "string", "maxLength": 3},
    },
}
MODES = ("Chat", "Single prompt", "Compare")


def test_a_card_of_quite_another_form(visit: Visit) -> None:
    """No such card is served here, so its schema is put in the place of one."""
    schema = json.dumps({"result": {"input": OTHER_CARD, "output": {}}, "success": True})
    done = {"body": "data: [DONE]\n\n", "content_type": "text/event-stream"}
    visit.page.route("**/ai/models/schema?*", lambda route: route.fulfill(body=schema))
    visit.page.route("**/ai/run/**", lambda route: route.fulfill(**done))
    visit.page.locator("header select").select_option(CF)
    visit.page.wait_for_selector("[data-field=size]")
    shown = [title for title in MODES if visit.page.locator(".segment", has_text=title).is_visible()]
    assert shown == ["Single prompt", "Compare"]
    visit.set(share=0, label="long")
    assert "above 0" in visit.error_of("share")
    assert "at most 3 characters" in visit.error_of("label")
    visit.set(share=0.5, label="abc")
    visit.field("size").locator("select").select_option("512")
    visit.answer("Hello")
    assert visit.bodies == [{"prompt": "Hello", "size": 512, "share": 0.5, "label": "abc", "stream": True}]


def test_the_form_is_that_of_the_card_that_was_chosen_last(visit: Visit) -> None:
    """The answer for the first choice comes after the one for the second."""

    def late(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    visit.page.route("**/ai/models/schema?model=%40cf*", late)
    visit.page.locator("header select").select_option(CF)
    visit.page.locator("header select").select_option(HF)
    visit.page.wait_for_timeout(1000)
    assert visit.field("response_format").count() == 0
    visit.answer("Hello")
    assert HF in visit.runs[0]


def test_a_failed_choice_of_a_model_is_said(visit: Visit) -> None:
    refusal = json.dumps({"errors": [{"code": 5007, "message": "No such model"}]})
    visit.page.route("**/ai/models/schema?*", lambda route: route.fulfill(status=400, body=refusal))
    with visit.refusals():
        visit.page.locator("header select").select_option(CF)
        visit.page.wait_for_selector(".trouble:has-text('5007: No such model')")
    visit.answer("Hello")
    assert HF in visit.runs[0]
