"""docs/web.md: its page in a real browser, from another origin, through a real preflight."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from playwright.sync_api import Browser, Page

from app.standin.recipe.text import questions
from tests.live.browser import SCREENSHOTS
from tests.live.server import CHECKOUT, LiveServer

pytestmark = pytest.mark.engine

ORIGIN = "http://127.0.0.1:8799"  # the one in docs/web.md and in tests/live/outworker.toml


def page_of_the_docs(live: LiveServer) -> str:
    text = (CHECKOUT / "docs" / "web.md").read_text()
    html = text.split("```html\n")[1].split("```")[0]
    assert len(html.splitlines()) <= 40
    return html.replace("http://127.0.0.1:8788", live.url).replace("YOUR TOKEN", live.token)


@pytest.fixture(scope="module")
def site(live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "page.html").write_text(page_of_the_docs(live))
    handler = partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 8799), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"{ORIGIN}/page.html"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Page:
    return chromium.new_page()


def test_the_page_streams_from_another_origin(live: LiveServer, site: str, page: Page) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    methods: list[str] = []
    page.context.new_cdp_session(page).send("Network.enable")
    page.on("request", lambda request: methods.append(request.method))
    page.goto(site)
    seen = partial(page.evaluate, "document.querySelector('#answer').textContent")
    page.click("text=Ask")
    page.wait_for_function("document.querySelector('#answer').textContent.length > 0")
    first = seen()
    taught = [answer for _, answer in questions()]
    page.wait_for_function(
        "taught => taught.includes(document.querySelector('#answer').textContent)", arg=taught
    )
    assert seen().startswith(first)
    page.screenshot(path=SCREENSHOTS / "web.png")
    assert [line for line in complaints if "favicon" not in line and "404" not in line] == []


def test_errors_reach_the_page(site: str, page: Page) -> None:
    page.goto(site)
    page.fill("input", "")
    page.click("text=Ask")
    page.wait_for_function("document.querySelector('#answer').textContent.includes('AiError: Bad input')")


def test_a_page_of_an_origin_that_is_not_named_gets_nothing(site: str, page: Page) -> None:
    page.goto(site.replace("127.0.0.1", "localhost"))
    page.click("text=Ask")
    page.wait_for_function("document.querySelector('#answer').textContent.includes('Failed to fetch')")
