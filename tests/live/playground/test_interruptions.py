"""What happens while an answer is written: other modes, Clear, typing elsewhere, failures, scrolling."""

import json

import pytest

from tests.live.playground.visit import ENDLESS, Visit

pytestmark = pytest.mark.engine

QUESTION = "What is Outworker?"
SLOWLY = {"temperature": 5, "max_tokens": 120}
FIRST, SECOND = (
    f"document.querySelectorAll('article.reply .text')[{index}]?.textContent.length > 20" for index in (0, 1)
)
IDLE = "document.querySelector('.composer button[type=submit]').disabled === false"
FAILED_MIDWAY = (
    'data: {"response": "So far"}\n\ndata: {"errors": [{"code": 3007, "message": "Too slow"}]}\n\n'
)
BROKEN_OFF = 'data: {"response": "So far"}\n\n'


def test_what_a_mode_was_asked_stays_in_it(visit: Visit) -> None:
    """A run that is stopped by going to another mode is kept, shown and continued where it was asked."""
    visit.choose_mode("Single prompt")
    visit.set(**ENDLESS)
    visit.ask("First")
    visit.until(FIRST)
    visit.choose_mode("Chat")
    visit.until(IDLE)
    visit.page.click("text=Reset all")
    visit.answer("Second")
    assert visit.bodies[1]["messages"] == [{"role": "user", "content": "Second"}]
    assert visit.replies.count() == 1
    visit.set(**ENDLESS)
    visit.ask("Third")
    visit.until(SECOND)
    visit.choose_mode("Single prompt")
    visit.until(IDLE)
    assert visit.replies.count() == 1
    assert visit.figures()["finish"] == "finish: stopped"
    visit.choose_mode("Chat")
    visit.page.click("text=Reset all")
    stopped = visit.replies.last.locator(".text").text_content()
    visit.set(max_tokens=5)
    visit.answer("Fourth")
    asked = [turn["content"] for turn in visit.bodies[3]["messages"]]
    assert asked[2:] == ["Third", stopped, "Fourth"]


def test_clear_forgets_what_still_runs(visit: Visit) -> None:
    visit.set(**ENDLESS)
    visit.ask("First")
    visit.until(FIRST)
    visit.page.click("text=Clear")
    assert visit.replies.count() == 0
    visit.page.click("text=Reset all")
    visit.until(IDLE)
    visit.answer("Second")
    assert visit.bodies[1]["messages"] == [{"role": "user", "content": "Second"}]


def test_nobody_is_taken_out_of_the_field_that_he_types_in(visit: Visit) -> None:
    visit.set(**SLOWLY)
    visit.ask("Tell me something")
    visit.until(FIRST)
    visit.field("seed").locator("input").focus()
    visit.page.keyboard.type("1234567", delay=60)
    visit.wait_done()
    visit.page.wait_for_timeout(100)
    visit.page.keyboard.type("89")
    assert visit.field("seed").locator("input").input_value() == "123456789"


def test_enter_while_an_answer_is_written_says_so(visit: Visit) -> None:
    visit.set(**ENDLESS)
    visit.ask("First")
    visit.until(FIRST)
    visit.ask("Second")
    assert "still being written" in visit.page.locator("#composer-error").inner_text()
    visit.page.keyboard.press("Escape")
    visit.wait_done()
    visit.until("document.querySelector('#composer-error').textContent === ''")
    assert visit.page.input_value("#composer") == "Second"
    assert len(visit.runs) == 1


@pytest.mark.parametrize(
    ("body", "problem"), [(FAILED_MIDWAY, "3007: Too slow"), (BROKEN_OFF, "broke off")], ids=["error", "cut"]
)
def test_an_answer_that_fails_midway(visit: Visit, body: str, problem: str) -> None:
    """An engine can't be told to fail after its first token, so its stream is."""
    visit.page.route("**/ai/run/**", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    visit.ask(QUESTION)
    visit.page.wait_for_selector("article.failed")
    assert problem in visit.replies.last.locator(".error").inner_text()
    assert visit.said() == "So far"
    assert visit.page.locator(".stage [role=status]").text_content() == "The request failed."
    assert visit.page.input_value("#composer") == QUESTION


def test_a_full_server_says_when_to_try_again(visit: Visit) -> None:
    refusal = {"errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}], "success": False}
    body, headers = json.dumps(refusal), {"retry-after": "7"}
    visit.page.route("**/ai/run/**", lambda route: route.fulfill(status=429, body=body, headers=headers))
    with visit.refusals():
        visit.ask(QUESTION)
        visit.page.wait_for_selector("article.failed")
    assert "Try again in 7 s." in visit.replies.last.locator(".error").inner_text()


def test_the_end_is_in_view_unless_the_reader_went_up(visit: Visit) -> None:
    log = "document.querySelector('.log')"
    visit.page.set_viewport_size({"width": 950, "height": 645})  # a short log: a few lines fill it
    visit.set(**ENDLESS)
    visit.ask("Write a lot")
    visit.until(f"{log}.scrollHeight > 2 * {log}.clientHeight")
    visit.until(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 90")
    visit.page.evaluate(f"{log}.scrollTop = 0")
    visit.page.wait_for_timeout(400)
    assert visit.page.evaluate(f"{log}.scrollTop") == 0
    visit.page.keyboard.press("Escape")
    visit.wait_done()
    visit.page.wait_for_timeout(200)
    assert visit.page.evaluate(f"{log}.scrollTop") == 0


def test_a_run_goes_on_beside_the_page_of_adapters(visit: Visit) -> None:
    visit.set(**ENDLESS | SLOWLY)
    visit.ask("Tell me something")
    visit.until(FIRST)
    visit.page.click("nav >> text=Adapters")
    visit.page.keyboard.press("Escape")  # stops what is seen, and this is not
    visit.until("document.querySelectorAll('[aria-busy]').length === 0")
    visit.page.click("nav >> text=Playground")
    assert visit.figures()["finish"] != "finish: stopped"
