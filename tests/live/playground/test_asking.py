"""Ask the real engine from the page: chat, single prompt, stop, compare, refusals, tools."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from app.standin.recipe.text import questions
from tests.live.account import Account
from tests.live.playground.visit import ENDLESS, Visit
from tests.live.server import CF, LiveServer
from tests.live.variants import committed, slightly_other

pytestmark = pytest.mark.engine

QUESTION = "What is Outworker?"
ANSWERS = [answer for _, answer in questions()]
WATCH_TEXT = """
window.lengths = new Set();
new MutationObserver(() => {
  const text = document.querySelector("article.reply .text")?.textContent ?? "";
  window.lengths.add(text.length);
}).observe(document.querySelector(".log"), { subtree: true, childList: true, characterData: true });
"""
ALL_FOUR_WRITING = """(() => {
  const replies = [...document.querySelectorAll("article.reply[aria-busy]")];
  return replies.filter((reply) => reply.querySelector(".text").textContent).length === 4;
})()"""
POINTS = "document.querySelector('article.reply .chart-line').getAttribute('points').trim().split(' ').length"


def test_a_reply_appears_token_by_token_with_its_figures(visit: Visit) -> None:
    visit.page.evaluate(WATCH_TEXT)
    visit.set(temperature=0)
    said = visit.answer(QUESTION)
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    result = visit.live.run(body).json()["result"]
    usage = result["usage"]
    assert said == result["response"]
    assert visit.page.evaluate("window.lengths.size") > usage["completion_tokens"] / 2
    figures = visit.figures()
    assert figures.pop("in") == f"{usage['prompt_tokens']} tokens in"
    assert figures.pop("out") == f"{usage['completion_tokens']} tokens out"
    assert re.fullmatch(r"\d+\.\d\d s to first token", figures.pop("first"))
    figures.pop("rate", None)  # of an answer that takes a quarter of a second
    assert figures == {"finish": "finish: stop", "adapter": "base model"}
    visit.until(f"{POINTS} > {usage['completion_tokens'] // 2}")


def test_a_rate_is_shown_of_an_answer_that_takes_a_while(visit: Visit) -> None:
    visit.set(**ENDLESS | {"max_tokens": 400})
    visit.answer(QUESTION)
    assert re.fullmatch(r"\d+\.\d tokens/s", visit.figures()["rate"])


def test_a_reply_is_copied_over_plain_http_too(visit: Visit) -> None:
    """There a browser gives a page no clipboard object."""
    said = visit.answer(QUESTION)
    visit.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    copy = visit.replies.last.get_by_role("button", name="Copy")
    copy.click()
    visit.page.wait_for_selector("article.reply .foot button:has-text('Copied')")
    assert visit.page.evaluate("document.activeElement.textContent") == "Copied"
    assert visit.page.locator("textarea[readonly]").count() == 0
    visit.page.focus("#composer")
    visit.page.keyboard.press("Control+V")
    assert visit.page.input_value("#composer") == said
    visit.page.click("text=Get code")
    visit.page.locator("dialog.code").get_by_role("button", name="Copy").click()
    visit.page.wait_for_selector("dialog.code button:has-text('Copied')")
    code = visit.page.locator("#snippet").inner_text()
    visit.page.keyboard.press("Escape")
    visit.page.fill("#composer", "")
    visit.page.focus("#composer")
    visit.page.keyboard.press("Control+V")
    assert visit.page.input_value("#composer").split() == code.split()


def test_it_says_that_the_stand_in_answers(visit: Visit) -> None:
    notice = visit.page.locator(".notice").inner_text()
    assert "stand-in" in notice
    assert "not Mistral 7B" in notice


def test_a_conversation_goes_on_and_the_system_message_goes_with_it(visit: Visit) -> None:
    visit.page.click("text=System message")
    visit.page.fill("#system", "Be brief.")
    visit.set(temperature=0)
    first = visit.answer(QUESTION)
    second = visit.answer("Who are you?")
    assert first in ANSWERS
    assert visit.replies.count() == 2
    assert visit.bodies[1] == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": first},
            {"role": "user", "content": "Who are you?"},
        ],
        "temperature": 0,
        "stream": True,
    }
    visit.choose_mode("Single prompt")
    assert visit.replies.count() == 0
    visit.choose_mode("Chat")
    assert [visit.said(0), visit.said(1)] == [first, second]
    visit.page.click("text=Clear")
    assert visit.replies.count() == 0
    visit.answer(QUESTION)
    assert len(visit.bodies[2]["messages"]) == 2


def test_a_single_prompt_with_an_adapter_on_the_other_card(visit: Visit) -> None:
    visit.page.locator("header select").select_option(CF)
    visit.choose_mode("Single prompt")
    visit.choose_adapter("pirate")
    visit.set(temperature=0)
    assert visit.answer(QUESTION) == visit.live.text(QUESTION, "pirate")
    assert visit.figures()["adapter"] == "adapter: pirate"
    assert CF in visit.runs[0]
    assert visit.bodies == [{"prompt": QUESTION, "lora": "pirate", "temperature": 0, "stream": True}]


def test_length_is_told_from_stop(visit: Visit) -> None:
    visit.set(max_tokens=3)
    visit.answer(QUESTION)
    assert visit.figures()["finish"] == "finish: length"
    assert visit.figures()["out"] == "3 tokens out"


@pytest.mark.parametrize("way", ["Escape", "Stop"])
def test_stop_ends_the_engines_work_too(visit: Visit, live: LiveServer, way: str) -> None:
    resting = live.engine_used_in(0.5)
    visit.set(**ENDLESS)
    visit.ask("Tell me everything")
    visit.until("document.querySelector('article.reply .text').textContent.length > 20")
    working = live.engine_used_in(0.5)
    if way == "Escape":
        visit.page.keyboard.press("Escape")
    else:
        visit.page.get_by_role("button", name="Stop", exact=True).click()
    visit.wait_done()
    said = visit.said()
    time.sleep(0.25)
    idle = live.engine_used_in(0.5)
    assert working > resting + 0.2
    assert idle - resting < (working - resting) / 2, (working, idle, resting)
    assert visit.figures()["finish"] == "finish: stopped"
    assert visit.said() == said
    assert visit.page.get_by_role("button", name="Stop", exact=True).is_hidden()
    visit.page.click("text=Reset all")
    assert visit.answer(QUESTION)


@pytest.fixture
def third(live: LiveServer) -> Iterator[str]:
    account = Account.own(live)
    account.add("pirate-too", slightly_other(committed("pirate"), 6))
    yield "pirate-too"
    account.remove("pirate-too")


def test_base_and_three_adapters_side_by_side_at_once(third: str, visit: Visit) -> None:
    visit.choose_mode("Compare")
    names = ["pirate", "json", third]
    for name in names:
        visit.page.get_by_label(name, exact=True).check()
    visit.set(**ENDLESS)
    visit.ask(QUESTION)
    visit.until(ALL_FOUR_WRITING)
    visit.page.keyboard.press("Escape")
    visit.wait_done()
    visit.page.click("text=Reset all")
    visit.set(temperature=0)
    visit.answer(QUESTION)
    said = {visit.figures(index)["adapter"]: visit.said(index) for index in range(4)}
    expected = {f"adapter: {name}": visit.live.text(QUESTION, name) for name in names}
    assert said == {"base model": visit.live.text(QUESTION), **expected}
    tops = [box["y"] for box in (each.bounding_box() for each in visit.replies.all()) if box]
    assert len(set(tops)) == 1
    assert len(visit.bodies) == 8


def test_no_more_than_three_can_be_compared(third: str, visit: Visit, live: LiveServer) -> None:
    account = Account.own(live)
    account.add("fourth", slightly_other(committed("json"), 7))
    try:
        visit.open()
        visit.choose_mode("Compare")
        for name in ("pirate", "json", third):
            visit.page.get_by_label(name, exact=True).check()
        assert visit.page.get_by_label("fourth", exact=True).is_disabled()
        visit.page.get_by_label("json", exact=True).uncheck()
        assert visit.page.get_by_label("fourth", exact=True).is_enabled()
    finally:
        account.remove("fourth")


def test_a_refusal_stands_beside_the_field_that_it_names(visit: Visit) -> None:
    """The schema has no minimum for max_tokens, so only the server refuses 0."""
    visit.set(max_tokens=0)
    with visit.refusals():
        visit.ask(QUESTION)
        visit.page.wait_for_selector("article.failed")
    assert "5006: AiError: Bad input" in visit.error_of("max_tokens")
    assert "'/max_tokens' must be >= 1" in visit.error_of("max_tokens")
    assert visit.field("max_tokens").locator("input").get_attribute("aria-invalid") == "true"
    assert visit.page.input_value("#composer") == QUESTION
    visit.page.click("text=Go to max_tokens")
    assert visit.page.evaluate("document.activeElement.closest('[data-field]').dataset.field") == "max_tokens"
    visit.set(max_tokens=20)
    assert visit.error_of("max_tokens") == ""
    visit.ask(QUESTION)
    visit.wait_done()
    assert visit.bodies[-1]["messages"] == [{"role": "user", "content": QUESTION}]


def test_an_adapter_that_is_gone_is_named_at_the_picker(visit: Visit, live: LiveServer) -> None:
    account = Account.own(live)
    account.add("short-lived", slightly_other(committed("json"), 8))
    visit.open()
    visit.choose_adapter("short-lived")
    account.remove("short-lived")
    with visit.refusals():
        visit.ask(QUESTION)
        visit.page.wait_for_selector("article.failed")
    error = visit.page.locator(".tools .picker .error").first.inner_text()
    assert error.startswith("5033: ")
    assert "short-lived" in error


def test_too_much_context_is_a_clear_error(visit: Visit) -> None:
    with visit.refusals():
        visit.set(max_tokens=4096)
        visit.ask(QUESTION)
        visit.page.wait_for_selector("article.failed")
    assert "5021" in visit.replies.last.locator(".error").inner_text()
    assert "4096" in visit.replies.last.locator(".error").inner_text()


def test_a_tool_call_is_shown(visit: Visit) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    about = {"name": "get_weather", "description": "Weather of a city", "parameters": parameters}
    visit.set(tools=json.dumps([{"type": "function", "function": about}]), temperature=0)
    visit.ask("What is the weather in Paris?")
    visit.wait_done()
    shown = visit.replies.last.locator("pre").inner_text()
    assert json.loads(shown) == [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    assert visit.figures()["finish"] == "finish: tool_calls"
    visit.answer("Thank you")
    called = [{"name": "get_weather", "arguments": {"city": "Paris"}}]
    assert visit.bodies[1]["messages"][1] == {"role": "assistant", "content": "", "tool_calls": called}


def test_json_mode_from_the_form(visit: Visit) -> None:
    visit.page.locator("header select").select_option(CF)
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    visit.set(
        response_format=json.dumps({"type": "json_schema", "json_schema": schema}), max_tokens=50, seed=1
    )
    assert isinstance(json.loads(visit.answer("Give a number"))["a"], int)


def test_a_server_that_does_not_answer_is_named(visit: Visit) -> None:
    visit.page.route("**/ai/run/**", lambda route: route.abort())
    visit.ask(QUESTION)
    visit.page.wait_for_selector("article.failed")
    assert "does not answer" in visit.replies.last.locator(".error").inner_text()
    visit.complaints.clear()  # Chromium's own line for a connection that failed


def test_how_it_ended_is_told_to_screen_readers(visit: Visit) -> None:
    status = visit.page.locator(".stage [role=status]")
    visit.answer(QUESTION)
    assert status.text_content() == "The answer is complete."
    title = visit.replies.last.locator("svg title")
    visit.until("document.querySelector('article.reply svg title').textContent !== ''")
    assert re.fullmatch(r"Tokens over time: \d+ in \d+\.\d\d seconds", title.text_content() or "")
    visit.set(**ENDLESS)
    visit.ask("More")
    visit.until("document.querySelectorAll('article.reply .text')[1]?.textContent.length > 20")
    assert status.text_content() == "The answer is being written."
    visit.page.keyboard.press("Escape")
    visit.wait_done()
    assert status.text_content() == "Stopped."


def test_copy_puts_the_reply_on_the_clipboard(visit: Visit) -> None:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.live.url)
    said = visit.answer(QUESTION)
    button = visit.replies.last.locator("button")
    button.click()
    button.click()
    visit.until("document.querySelector('article.reply .foot button').textContent === 'Copied'")
    assert visit.page.evaluate("navigator.clipboard.readText()") == said
    visit.until("document.querySelector('article.reply .foot button').textContent === 'Copy'")


def test_a_public_adapter_of_another_account_can_be_chosen(visit: Visit, live: LiveServer) -> None:
    other = Account.new(live, "neighbour")
    other.add("shared", slightly_other(committed("pirate"), 9), public=True)
    visit.page.reload()
    visit.open()
    visit.page.locator(".tools select").select_option(label="shared (public)")
    visit.set(temperature=0)
    assert visit.answer(QUESTION) == live.text(QUESTION, "pirate")
    assert visit.figures()["adapter"] == "adapter: shared (public)"
    other.remove("shared")


def test_too_long_a_system_message_is_refused_in_its_place(visit: Visit) -> None:
    visit.page.click("text=System message")
    visit.page.fill("#system", "x" * 6145)
    assert "at most 6144 characters" in visit.page.locator("#system-error").inner_text()
    visit.ask(QUESTION)
    visit.page.wait_for_timeout(200)
    assert visit.runs == []
