"""Light and dark, wide and narrow, by keyboard, and what axe-core has to say. The pictures are for people to look at."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload

from tests.clients.node import CLIENTS
from tests.live.account import Account
from tests.live.browser import SCREENSHOTS
from tests.live.playground.visit import ENDLESS, NARROW, WIDE, Visit, visiting
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


@pytest.fixture(autouse=True)
def cleared(live: LiveServer) -> Iterator[None]:
    """What a view uploaded is gone after it."""
    yield
    Account.own(live).send("DELETE", "finetunes/refused")


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
    visit.page.fill("#token", "wrong")
    with visit.refusals():
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#token-error:not(:empty)")


def writing(visit: Visit) -> None:
    """In the middle of it."""
    visit.page.evaluate("document.querySelector('details.panel').open = true")
    visit.set(**ENDLESS)
    visit.ask(QUESTION)
    visit.until("document.querySelector('article.reply .text')?.textContent.length > 100")


def refused_upload(visit: Visit) -> None:
    """With the bar, which is gone by then."""
    adapters(visit)
    config: FilePayload = {"name": "adapter_config.json", "mimeType": "", "buffer": b"{}"}
    weights: FilePayload = {"name": "adapter_model.safetensors", "mimeType": "", "buffer": b"no weights"}
    visit.page.set_input_files("#adapter-files", [config, weights])
    visit.page.fill("#adapter-name", "refused")
    with visit.refusals():
        visit.page.click("text=Upload and check")
        visit.page.wait_for_selector(".verdict .findings li")
        visit.page.wait_for_selector("[data-adapter=refused] .findings li")
    visit.page.evaluate("document.querySelector('.bar').hidden = false")


def welcome(visit: Visit) -> None:
    visit.page.evaluate("sessionStorage.clear()")
    visit.page.reload()
    visit.page.wait_for_selector(".welcome:not([hidden])")


VIEWS: list[Callable[[Visit], None]] = [
    *(chat, writing, compared, refused, code_dialog),
    *(adapters, refused_upload, deletion, token, welcome),
]


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


# Every view in both widths and both colours; the first one in each pair of them.
CASES = [(view, layout) for view in VIEWS for layout in ("wide-light", "narrow-dark")]
CASES += [(VIEWS[0], layout) for layout in ("wide-dark", "narrow-light")]


@pytest.mark.parametrize(("view", "layout"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_every_view_fits_and_is_accessible(
    chromium: Browser, live: LiveServer, view: Callable[[Visit], None], layout: str
) -> None:
    with visiting(chromium, live, **LAYOUTS[layout]) as visit:
        view(visit.open())
        visit.page.wait_for_timeout(100)
        visit.page.screenshot(path=SCREENSHOTS / f"playground-{view.__name__}-{layout}.png")
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


def test_a_wide_and_low_window_keeps_the_composer_in_view(chromium: Browser, live: LiveServer) -> None:
    with visiting(chromium, live, viewport={"width": 1366, "height": 560}) as visit:
        visit.open()
        for _ in range(3):
            visit.answer(QUESTION)
        visit.page.wait_for_timeout(200)
        composer = visit.page.locator(".composer").bounding_box()
        reply = visit.replies.last.bounding_box()
        assert composer is not None
        assert reply is not None
        assert composer["y"] + composer["height"] <= 560
        assert reply["y"] + reply["height"] <= composer["y"] + 1


@pytest.mark.parametrize("width", [390, 600, 820, 899])
def test_on_a_narrow_screen_the_closed_parameters_are_one_line_below(
    chromium: Browser, live: LiveServer, width: int
) -> None:
    with visiting(chromium, live, viewport={"width": width, "height": 1000}) as visit:
        visit.open()
        panel, stage = (visit.page.locator(part).bounding_box() for part in (".panel", ".stage"))
        assert panel is not None
        assert stage is not None
        assert panel["height"] < 60
        assert panel["y"] >= stage["y"] + stage["height"]
        assert panel["y"] + panel["height"] <= 1000
        visit.page.screenshot(path=SCREENSHOTS / f"playground-parameters-{width}.png")


def test_who_wants_no_motion_sees_none(visit: Visit) -> None:
    visit.page.emulate_media(reduced_motion="reduce")
    visit.set(**ENDLESS)
    visit.ask(QUESTION)
    visit.page.wait_for_selector("article.running")
    moving = "getComputedStyle(document.querySelector('article.running .text'), '::after').animationName"
    assert visit.page.evaluate(moving) == "none"
    visit.page.emulate_media(reduced_motion="no-preference")
    assert visit.page.evaluate(moving) == "blink"
    visit.page.keyboard.press("Escape")
    visit.wait_done()


def test_each_page_has_its_title(visit: Visit) -> None:
    assert visit.page.title() == "Outworker playground"
    visit.page.click("nav >> text=Adapters")
    visit.until("document.title === 'Adapters · Outworker playground'")


def test_a_refusal_is_in_view_on_a_narrow_screen(chromium: Browser, live: LiveServer) -> None:
    """The composer stands at the bottom of the screen, in front of what is behind it."""
    with visiting(chromium, live, viewport=NARROW) as visit:
        refused(visit.open())
        visit.page.wait_for_timeout(200)
        error = visit.replies.last.locator(".error").bounding_box()
        composer = visit.page.locator(".composer").bounding_box()
        assert error is not None
        assert composer is not None
        assert error["y"] + error["height"] <= composer["y"] + 1
