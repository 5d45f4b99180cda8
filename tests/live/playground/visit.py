"""A visit to the playground: what a person does there and sees."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

from tests.live.server import LiveServer

REFUSED = "Failed to load resource: the server responded with a status of 4"
WIDE = {"width": 1440, "height": 900}
PATIENCE_S = 20
NARROW = {"width": 390, "height": 844}
ENDLESS = {"temperature": 5, "max_tokens": 3500, "seed": 4}
"""So hot that the text is noise; with this seed it has no end."""


@dataclass
class Visit:
    """A tab with a session of its own. `complaints` is what the console and the page's scripts said is wrong."""

    page: Page
    live: LiveServer
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refusals_expected: bool = False

    def watch(self) -> "Visit":
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)
        return self

    def open(self) -> "Visit":
        """Open a link of the terminal's."""
        self.page.goto(self.live.page_link())
        self.page.wait_for_selector("[data-field=temperature]", state="attached")
        self.until("document.querySelector('.tools select').options.length > 1")
        return self

    def ask(self, text: str) -> None:
        """Type and press Enter."""
        self.page.fill("#composer", text)
        self.page.press("#composer", "Enter")

    def wait_done(self) -> None:
        self.page.wait_for_selector("article.reply")
        self.until("document.querySelectorAll('[aria-busy]').length === 0")

    def until(self, expression: str) -> None:
        """Asked from here: the page's policy forbids Playwright's own waiting, which evaluates text in the page."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, expression
            self.page.wait_for_timeout(10)

    def answer(self, text: str) -> str:
        """What the last reply says when it is complete."""
        self.ask(text)
        self.wait_done()
        return self.said()

    @property
    def replies(self) -> Locator:
        return self.page.locator("article.reply")

    def said(self, index: int = -1) -> str:
        return self.replies.nth(index).locator(".text").inner_text()

    def figures(self, index: int = -1) -> dict[str, str]:
        """What stands under a reply, by kind."""
        shown = self.replies.nth(index).locator("[data-figure]").all()
        return {str(each.get_attribute("data-figure")): each.inner_text() for each in shown}

    def choose_mode(self, title: str) -> None:
        self.page.locator(".segment", has_text=title).click()

    def field(self, name: str) -> Locator:
        return self.page.locator(f"[data-field={name}]")

    def set(self, **values: Any) -> None:
        """Type into the form."""
        for name, value in values.items():
            self.field(name).locator(".control > :is(textarea, input:not([type=range]))").fill(str(value))

    def error_of(self, name: str) -> str:
        return self.field(name).locator(".error").inner_text()

    def choose_adapter(self, name: str) -> None:
        self.page.locator(".tools select").select_option(name)

    @property
    def runs(self) -> Sequence[str]:
        """The requests that ran a model."""
        return [url for url in self.requests if "/ai/run/" in url]

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Chromium itself writes a line for each answer of 4xx: here they are meant."""
        self.refusals_expected = True
        yield
        self.refusals_expected = False

    def _hear(self, message: ConsoleMessage) -> None:
        if not (self.refusals_expected and message.text.startswith(REFUSED)):
            self.complaints.append(f"{message.type}: {message.text}")

    def _see(self, request: Request) -> None:
        self.requests.append(request.url)
        if "/ai/run/" in request.url:
            body = request.post_data_json
            assert body is not None
            self.bodies.append(body)


@contextmanager
def visiting(chromium: Browser, live: LiveServer, **options: Any) -> Iterator[Visit]:
    """Ends with nothing to complain about and nobody else asked."""
    context = chromium.new_context(**{"viewport": WIDE, **options})
    context.set_default_timeout(1000 * PATIENCE_S)
    visit = Visit(context.new_page(), live).watch()
    yield visit
    context.close()
    assert visit.complaints == []
    assert [url for url in visit.requests if not url.startswith(f"{live.url}/")] == []
