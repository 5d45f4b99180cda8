"""Light and dark, wide and narrow, by keyboard, and what axe-core has to say. The pictures are for people to look at."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.clients.node import CLIENTS
from tests.live.browser import SCREENSHOTS
from tests.live.playground.visit import NARROW, WIDE, Visit, visiting
from tests.live.server import LiveServer

pytestmark = pytest.mark.engine

AXE = CLIENTS / "node_modules" / "axe-core" / "axe.min.js"
LAYOUTS = {
    "wide-light": {"viewport": WIDE, "color_scheme": "light"},
    "wide-dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow-light": {"viewport": NARROW, "color_scheme": "light"},
    "narrow-dark": {"viewport": NARROW, "color_scheme": "dark"},
}
QUESTION = "What is Outworker?"
SERIOUS = ("serious", "critical")
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUSED = """(() => {
  const at = document.activeElement;
  const label = at.classList.contains("visually-hidden") ? at.nextSibling : at; // a file's button is its label
  const { outlineStyle, outlineWidth } = getComputedStyle(at.type === "radio" ? at.closest(".segments") : label);
  const name = at === document.body ? "" : at.id || at.textContent || at.ariaLabel || at.tagName;
  return { name, visible: outlineStyle !== "none" && outlineWidth !== "0px" };
})()"""
TABS_MAX = 80


@pytest.fixture(params=LAYOUTS)
def layout(
    request: pytest.FixtureRequest, chromium: Browser, live: LiveServer
) -> Iterator[tuple[str, Visit]]:
    with visiting(chromium, live, **LAYOUTS[request.param]) as visit:
        yield request.param, visit.open()


def chat(visit: Visit) -> None:
    visit.answer(QUESTION)
    visit.answer("What is a LoRA adapter?")


def compared(visit: Visit) -> None:
    visit.choose_mode("Compare")
    for name in ("pirate", "json"):
        visit.page.get_by_label(name, exact=True).check()
    visit.answer(QUESTION)


def refused(visit: Visit) -> None:
    panel = visit.page.locator("details.panel")
    if panel.get_attribute("open") is None:
        panel.locator("summary").click()
    visit.set(temperature=9, max_tokens=0)
    visit.set(temperature="")
    with visit.refusals():
        visit.ask(QUESTION)
        visit.page.wait_for_selector("article.failed")


def code_dialog(visit: Visit) -> None:
    visit.page.click("text=Get code")
    visit.page.click("#tab-python-openai")


def adapters(visit: Visit) -> None:
    visit.page.click("nav >> text=Adapters")
    visit.page.wait_for_selector("[data-adapter=pirate]")


def deletion(visit: Visit) -> None:
    adapters(visit)
    visit.page.get_by_role("button", name="Delete pirate").click()


def token(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Token").click()


VIEWS: list[Callable[[Visit], None]] = [chat, compared, refused, code_dialog, adapters, deletion, token]


def findings(visit: Visit) -> list[str]:
    """What axe-core finds that is serious."""
    visit.page.evaluate(AXE.read_text())
    result: dict[str, Any] = visit.page.evaluate("axe.run()")
    assert result["passes"], "axe-core looked at nothing"
    return [
        f"{each['id']}: {node['html']} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_every_view_fits_and_is_accessible(layout: tuple[str, Visit], view: Callable[[Visit], None]) -> None:
    name, visit = layout
    view(visit)
    visit.page.wait_for_timeout(100)
    visit.page.screenshot(path=SCREENSHOTS / f"playground-{view.__name__}-{name}.png")
    assert visit.page.evaluate(TOO_WIDE) == 0
    assert findings(visit) == []


def test_axe_would_find_what_is_wrong(visit: Visit) -> None:
    visit.page.evaluate("document.querySelector('#composer').style.color = '#ccc'")
    visit.page.fill("#composer", "Pale on white")
    visit.page.evaluate("document.querySelector('label[for=composer]').remove()")
    visit.page.evaluate("document.querySelector('#composer').removeAttribute('placeholder')")
    found = " ".join(findings(visit))
    assert "color-contrast" in found
    assert "label" in found


def test_light_and_dark_follow_the_system_or_the_choice(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    visit.page.emulate_media(color_scheme="light")
    light = visit.page.evaluate(paper)
    visit.page.emulate_media(color_scheme="dark")
    dark = visit.page.evaluate(paper)
    assert light != dark
    visit.page.click("text=Auto theme")
    assert visit.page.evaluate(paper) == light
    visit.page.click("text=Light theme")
    visit.page.emulate_media(color_scheme="light")
    assert visit.page.evaluate(paper) == dark
    visit.page.reload()
    assert visit.page.evaluate(paper) == dark


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Visit) -> None:
    for page, parts in (
        (
            "Playground",
            {"Outworker", "Token", "Auto theme", "Clear", "Get code", "composer", "Send", "Reset all"},
        ),
        ("Adapters", {"adapter-files", "adapter-folder", "adapter-name", "Upload and check", "Delete"}),
    ):
        visit.page.click(f"nav >> text={page}")
        seen = around(visit)
        assert parts <= set(seen)
        if page == "Playground":
            fields = "[data-field] .control [id]"
            assert set(visit.page.eval_on_selector_all(fields, "all => all.map((one) => one.id)")) <= set(
                seen
            )


def around(visit: Visit) -> list[str]:
    """What Tab comes by, from the head of the page until the browser itself has the focus."""
    visit.page.locator(".brand").focus()
    seen = ["Outworker"]
    for _ in range(TABS_MAX):
        visit.page.keyboard.press("Tab")
        focused = visit.page.evaluate(FOCUSED)
        if focused["name"] in ("", "Outworker"):
            return seen
        assert focused["visible"], focused
        seen.append(focused["name"])
    raise AssertionError(seen)


def test_a_whole_visit_by_keyboard(visit: Visit) -> None:
    keyboard = visit.page.keyboard
    visit.page.locator("input[name=mode]:checked").focus()
    keyboard.press("ArrowRight")
    assert visit.page.locator("input[name=mode]:checked").get_attribute("value") == "prompt"
    keyboard.press("Tab")
    keyboard.type("pirate")
    assert visit.page.locator(".tools select").input_value() == "pirate"
    while visit.page.evaluate("document.activeElement.id") != "composer":
        keyboard.press("Tab")
    keyboard.type("What is")
    keyboard.press("Shift+Enter")
    keyboard.type("Outworker?")
    assert visit.page.input_value("#composer") == "What is\nOutworker?"
    keyboard.press("Enter")
    visit.wait_done()
    assert visit.bodies[0]["prompt"] == "What is\nOutworker?"
    assert visit.page.evaluate("document.activeElement.id") == "composer"
    while "Get code" not in visit.page.evaluate("document.activeElement.textContent"):
        keyboard.press("Shift+Tab")
    keyboard.press("Enter")
    assert visit.page.locator("dialog.code").is_visible()
    keyboard.press("Escape")
    assert visit.page.locator("dialog.code").is_hidden()
    assert "Get code" in visit.page.evaluate("document.activeElement.textContent")


def test_every_control_has_a_name(visit: Visit) -> None:
    names = visit.page.eval_on_selector_all(
        "main :is(button, input, select, textarea):not([hidden])",
        "all => all.map((one) => one.labels?.[0]?.textContent || one.ariaLabel || one.textContent)",
    )
    assert names
    assert all(name.strip() for name in names)
