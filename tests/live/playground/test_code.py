"""Every snippet of "Get code", read from the page and run as it stands."""

import http.server
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.clients.snippets import run_snippet
from tests.live.playground.visit import Visit
from tests.live.server import LiveServer
from tests.live.test_web import ORIGIN, Quiet

pytestmark = pytest.mark.engine

IDS = ["curl", "python-cloudflare", "python-openai", "javascript-fetch", "worker"]
QUESTION = "What is Outworker?"


@pytest.fixture
def asking(visit: Visit) -> Visit:
    """One prompt to the pirate, cold, so that there is one right answer."""
    visit.choose_mode("Single prompt")
    visit.choose_adapter("pirate")
    visit.set(temperature=0, max_tokens=60, top_k=1)
    visit.page.fill("#composer", QUESTION)
    return visit


def code(visit: Visit, name: str, with_token: bool = False) -> str:
    """What the dialog shows for a language."""
    visit.page.click("text=Get code")
    visit.page.click(f"#tab-{name}")
    if with_token:
        visit.page.get_by_label("With this tab's token in it").check()
    text = visit.page.locator("#snippet").text_content()
    visit.page.locator("dialog[open]").get_by_role("button", name="Close").click()
    assert text
    return text


@pytest.mark.parametrize("name", IDS)
def test_it_runs_and_gets_the_pages_answer(
    asking: Visit, live: LiveServer, tmp_path: Path, name: str
) -> None:
    text = code(asking, name)
    assert live.token not in text
    printed = run_snippet(name, text, live, tmp_path)
    asking.page.press("#composer", "Enter")
    asking.wait_done()
    assert whole(printed) == asking.said() == live.text(QUESTION, "pirate")


def whole(printed: str) -> str:
    """The text, out of the events that curl and the Worker show."""
    if not printed.startswith("data: "):
        return printed.strip()
    events = [line.removeprefix("data: ") for line in printed.splitlines() if line.startswith("data: {")]
    return "".join(json.loads(event)["response"] for event in events)


def test_it_is_the_conversation_that_is_shown(visit: Visit, live: LiveServer, tmp_path: Path) -> None:
    visit.set(temperature=0)
    visit.answer(QUESTION)
    second = visit.answer("What is a LoRA adapter?")
    for name in ("curl", "python-openai"):
        folder = tmp_path / name
        folder.mkdir()
        assert whole(run_snippet(name, code(visit, name), live, folder)) == second


def test_the_token_is_in_it_only_when_asked_for(asking: Visit, live: LiveServer, tmp_path: Path) -> None:
    text = code(asking, "python-cloudflare", with_token=True)
    assert live.token in text

    class Nobody:
        url, token = live.url, "the environment has none"

    assert run_snippet("python-cloudflare", text, Nobody(), tmp_path).strip() == live.text(QUESTION, "pirate")
    assert live.token not in code(asking, "python-cloudflare")
    assert live.token not in asking.page.content()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder that another origin serves, one that the settings name."""
    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(ORIGIN.rpartition(":")[2])), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path
        server.shutdown()


def test_the_fetch_program_runs_in_a_page(
    asking: Visit, live: LiveServer, chromium: Browser, site: Path
) -> None:
    program = code(asking, "javascript-fetch", with_token=True)
    html = f'<!doctype html><meta charset="utf-8"><body><script type="module">{program}</script>'
    (site / "index.html").write_text(html)
    page = chromium.new_page()
    page.goto(f"{ORIGIN}/index.html")
    expected = live.text(QUESTION, "pirate")
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=expected)
    page.close()


def test_tabs_follow_the_arrow_keys(asking: Visit) -> None:
    asking.page.click("text=Get code")
    chosen = []
    asking.page.focus("#tab-curl")
    for _ in IDS:
        chosen.append(asking.page.evaluate("document.activeElement.id").removeprefix("tab-"))
        asking.page.keyboard.press("ArrowRight")
    assert chosen == IDS
    assert asking.page.evaluate("document.activeElement.id") == "tab-curl"
