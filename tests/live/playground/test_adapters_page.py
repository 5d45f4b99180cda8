"""Adapters in the page: real files dropped and picked, progress, the inspection's findings, deletion."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Route

from app.standin.recipe.text import questions
from app.standin.recipe.voices import ADAPTERS_FOLDER
from tests.adapters.make import Adapter
from tests.live.account import Account
from tests.live.playground.visit import Visit
from tests.live.server import HF, LiveServer, outworker
from tests.live.variants import A, B, committed, slightly_other

pytestmark = pytest.mark.engine

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
QUESTION = questions()[0][0]
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
WATCH_BAR = """
window.shares = [];
new MutationObserver(() => {
  const bar = document.querySelector(".uploader .bar");
  if (!bar.hidden) window.shares.push(bar.querySelector("progress").value);
}).observe(document.querySelector(".uploader"), { subtree: true, childList: true, attributes: true });
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An adapter that is like no other."""
    return slightly_other(committed("pirate"), 60).write(tmp_path / "mine")


@pytest.fixture(autouse=True)
def cleared(live: LiveServer) -> Iterator[None]:
    """What a test uploads is gone after it."""
    account = Account.own(live)
    yield
    for finetune in account.send("GET", "finetunes").json()["result"]:
        if finetune["name"] not in ("pirate", "json"):
            account.remove(finetune["id"])


def drop(visit: Visit, *paths: Path) -> None:
    """As the system's file manager does it: real files from disk, a folder among them."""
    box = visit.page.locator(".drop").bounding_box()
    assert box is not None
    devtools = visit.page.context.new_cdp_session(visit.page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 20}
        devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})


def upload(visit: Visit, name: str) -> str:
    """Press the button; the verdict."""
    visit.page.fill("#adapter-name", name)
    visit.page.click("text=Upload and check")
    visit.page.wait_for_selector(".verdict > *")
    return visit.page.locator(".verdict").inner_text()


def card(visit: Visit, name: str) -> str:
    return f"[data-adapter='{name}']"


@pytest.mark.parametrize(
    "way", ["two files dropped", "a folder dropped", "two files picked", "a folder picked"]
)
def test_upload_and_call(visit: Visit, folder: Path, way: str) -> None:
    visit.page.click("nav >> text=Adapters")
    assert f"Made for {HF}," in visit.page.locator(".uploader").inner_text()
    files = [folder / CONFIG, folder / WEIGHTS]
    if way == "two files dropped":
        drop(visit, *files)
    elif way == "a folder dropped":
        drop(visit, folder)
    elif way == "two files picked":
        for file in files:  # one after the other
            visit.page.set_input_files("#adapter-files", file)
    else:
        visit.page.set_input_files("#adapter-folder", folder)
    visit.page.wait_for_selector(f".picked:has-text('{WEIGHTS}')")
    assert visit.page.locator(".picked .error").count() == 0
    verdict = upload(visit, "mine")
    assert verdict.startswith("Ready: mine, rank 16.")
    assert "ready" in visit.page.locator(card(visit, "mine")).inner_text()
    visit.page.click("nav >> text=Playground")
    visit.choose_adapter("mine")
    visit.set(temperature=0)
    assert visit.answer(QUESTION) == visit.live.text(QUESTION, "pirate")


def test_the_bar_goes_with_the_bytes(visit: Visit, folder: Path) -> None:
    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    visit.page.evaluate(WATCH_BAR)
    devtools = visit.page.context.new_cdp_session(visit.page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", SLOW)
    assert upload(visit, "slowly").startswith("Ready")
    shares = [each for each in visit.page.evaluate("window.shares") if 0 < each < 1]
    assert len(set(shares)) > 3
    assert shares == sorted(shares)
    assert visit.page.locator(".bar").is_hidden()


def test_stop_ends_an_upload_and_leaves_nothing(visit: Visit, folder: Path, live: LiveServer) -> None:
    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    devtools = visit.page.context.new_cdp_session(visit.page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", SLOW)
    visit.page.fill("#adapter-name", "half")
    visit.page.click("text=Upload and check")
    visit.until("document.querySelector('.bar progress').value > 0.1")
    visit.page.locator(".uploader").get_by_role("button", name="Stop").click()
    visit.page.wait_for_selector(".verdict:has-text('Stopped')")
    visit.until("!document.querySelector('.adapter-list').textContent.includes('half')")
    names = [each["name"] for each in Account.own(live).send("GET", "finetunes").json()["result"]]
    assert "half" not in names


def test_every_finding_of_a_refusal_is_shown(visit: Visit, tmp_path: Path, live: LiveServer) -> None:
    good = committed("pirate")
    bad = {**good.tensors, B: np.full_like(good.tensors[B], np.nan), A: good.tensors[A][:, :128]}
    folder = Adapter(good.config, bad, good.dtypes).write(tmp_path / "bad")
    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    with visit.refusals():
        verdict = upload(visit, "bad")
    account = Account.own(live)
    findings = account.send("GET", "finetunes/bad").json()["result"]["findings"]
    assert findings
    assert "Refused (3030)" in verdict
    shown = [each.inner_text() for each in visit.page.locator(".verdict .findings li").all()]
    assert shown == findings
    visit.page.wait_for_selector(f"{card(visit, 'bad')} .findings li")
    listed = visit.page.locator(f"{card(visit, 'bad')} .findings li").all()
    assert [each.inner_text() for each in listed] == findings
    visit.page.click("nav >> text=Playground")
    assert "bad" not in visit.page.locator(".tools select").inner_text().split()
    assert visit.answer(QUESTION)


def test_what_is_missing_or_there_twice_is_said_before_anything_is_sent(visit: Visit, tmp_path: Path) -> None:
    visit.page.click("nav >> text=Adapters")
    visit.page.click("text=Upload and check")
    assert "needs a name" in visit.page.locator("#adapter-name-error").inner_text()
    assert f"{CONFIG} and {WEIGHTS}" in visit.page.locator(".picked").inner_text()
    visit.page.set_input_files("#adapter-files", ADAPTERS_FOLDER / "pirate" / CONFIG)
    assert f"Missing: {WEIGHTS}" in visit.page.locator(".picked").inner_text()
    for name in ("one", "two"):
        committed("json").write(tmp_path / name)
    drop(visit, tmp_path / "one", tmp_path / "two")
    visit.page.wait_for_selector(".picked:has-text('more than one')")
    visit.page.fill("#adapter-name", "nothing")
    visit.page.click("text=Upload and check")
    assert [url for url in visit.requests if "finetune-assets" in url] == []


def test_a_name_that_is_taken_is_refused_beside_the_name(visit: Visit, folder: Path) -> None:
    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    with visit.refusals():
        visit.page.fill("#adapter-name", "pirate")
        visit.page.click("text=Upload and check")
        visit.page.wait_for_selector("#adapter-name-error:not(:empty)")
    error = visit.page.locator("#adapter-name-error").inner_text()
    assert "named pirate" in error
    assert "--" not in error
    label = visit.page.locator("label.choice", has_text="Replace").inner_text()
    assert label in error
    assert visit.page.locator(".verdict").inner_text() == ""
    assert upload(visit, "another").startswith("Ready")  # the files are still there


def test_delete_asks_first(visit: Visit, folder: Path, live: LiveServer) -> None:
    account = Account.own(live)
    account.add("gone-soon", slightly_other(committed("json"), 61))
    visit.page.click("nav >> text=Adapters")
    visit.page.get_by_role("button", name="Delete gone-soon").click()
    visit.page.click("text=Keep it")
    assert visit.page.locator(card(visit, "gone-soon")).count() == 1
    visit.page.get_by_role("button", name="Delete gone-soon").click()
    visit.page.locator("dialog[open]").get_by_role("button", name="Delete", exact=True).click()
    visit.page.wait_for_selector(card(visit, "gone-soon"), state="detached")
    visit.page.wait_for_selector(".adapters [role=status]:has-text('gone-soon is deleted.')")
    visit.until("document.activeElement.id === 'adapters-title'")
    assert account.send("GET", "finetunes/gone-soon").status_code == 404
    visit.page.click("nav >> text=Playground")
    assert "gone-soon" not in visit.page.locator(".tools select").inner_text()


def test_a_token_that_may_only_read_is_told_so(visit: Visit, folder: Path, live: LiveServer) -> None:
    made = outworker("token", "create", "--account", "local", "--scope", "ai:read", data_dir=live.data_dir)
    visit.page.click("text=Token")
    visit.page.fill("#token", made.stdout.split()[-1])
    visit.page.click("text=Use this token")
    visit.page.wait_for_selector("dialog.token", state="hidden")
    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    with visit.refusals():
        assert "lacks the scope ai:write" in upload(visit, "mine")


def test_everything_in_the_form_is_sent(visit: Visit, folder: Path, live: LiveServer) -> None:
    account = Account.own(live)
    visit.page.click("nav >> text=Adapters")
    drop(visit, folder)
    visit.page.wait_for_selector(f".picked:has-text('{WEIGHTS}')")
    assert visit.page.input_value("#adapter-name") == "mine"
    visit.page.fill("#adapter-description", "As a pirate says it")
    visit.page.get_by_label("Other accounts may call it").check()
    assert upload(visit, "shown").startswith("Ready")
    shown = account.send("GET", "finetunes/shown").json()["result"]
    assert (shown["description"], shown["public"]) == ("As a pirate says it", True)
    assert "public" in visit.page.locator(card(visit, "shown")).inner_text()
    other = slightly_other(committed("json"), 62).write(folder.parent / "next")
    visit.page.set_input_files("#adapter-folder", other)
    visit.page.get_by_label("Replace a ready adapter").check()
    assert upload(visit, "shown").startswith("Ready")
    assert account.text(QUESTION, "shown") == live.text(QUESTION, "json")


def test_stop_before_the_first_byte(visit: Visit, folder: Path, live: LiveServer) -> None:
    """The adapter is created while the button is pressed."""

    def slow(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        response = route.fetch()
        visit.page.evaluate("document.querySelector('.uploader button.danger').click()")
        route.fulfill(response=response)

    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    visit.page.route("**/ai/finetunes", slow)
    assert upload(visit, "early") == "Stopped. Nothing of it is kept."
    assert Account.own(live).send("GET", "finetunes/early").status_code == 404
    assert [url for url in visit.requests if "finetune-assets" in url] == []


def test_what_can_not_be_deleted_is_said(visit: Visit, folder: Path) -> None:
    def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=507, body='{"errors": [{"code": 5092, "message": "No space"}]}')
        else:
            route.continue_()

    visit.page.click("nav >> text=Adapters")
    visit.page.set_input_files("#adapter-folder", folder)
    devtools = visit.page.context.new_cdp_session(visit.page)
    devtools.send("Network.enable")
    devtools.send("Network.emulateNetworkConditions", SLOW)
    visit.page.route("**/ai/finetunes/*", refuse)
    visit.page.fill("#adapter-name", "kept")
    visit.page.click("text=Upload and check")
    visit.until("document.querySelector('.bar progress').value > 0.1")
    visit.page.locator(".uploader").get_by_role("button", name="Stop").click()
    visit.page.wait_for_selector(".verdict:has-text('could not be deleted: 5092: No space')")
    visit.complaints.clear()  # Chromium's own line for 507


def test_a_file_beside_its_place_does_not_replace_the_page(visit: Visit, folder: Path) -> None:
    devtools = visit.page.context.new_cdp_session(visit.page)
    data = {"items": [], "files": [str(folder / CONFIG)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, "x": 700, "y": 20})
    visit.page.wait_for_timeout(300)
    assert visit.page.url.startswith(visit.live.url)
    assert len(visit.page.context.pages) == 1
