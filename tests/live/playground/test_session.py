"""Whose token the page uses, where it keeps it, and what the page may not do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from tests.live.account import Account
from tests.live.playground.visit import Visit, visiting
from tests.live.server import LiveServer, outworker

pytestmark = pytest.mark.engine

MARKUP = '<img src="x" onerror="document.title=1"><script>document.title=2</script><b>bold</b>'
EVENT = 'data: {{"response": {text}, "tokens": 1}}\n\n'
WELCOME = ".welcome:not([hidden])"
STORED = "JSON.stringify([Object.keys(sessionStorage), Object.keys(localStorage), document.cookie])"


@pytest.fixture
def stranger(chromium: Browser, live: LiveServer) -> Iterator[Visit]:
    """A tab that was given no token."""
    with visiting(chromium, live) as visit:
        visit.refusals_expected = True
        visit.page.goto(live.url)
        visit.page.wait_for_selector(WELCOME)
        yield visit


def test_a_link_of_the_terminal_signs_in_and_leaves_no_code(visit: Visit, live: LiveServer) -> None:
    assert visit.page.locator("dialog[open]").count() == 0
    assert visit.page.url == f"{live.url}/"
    assert visit.answer("What is Outworker?")
    visit.page.reload()
    visit.page.wait_for_selector("[data-field=temperature]", state="attached")
    assert visit.page.locator("dialog[open]").count() == 0
    assert [url for url in visit.requests if "code=" in url] == []


def test_a_link_works_once_and_says_so(stranger: Visit, live: LiveServer) -> None:
    page, link = stranger.page, live.page_link()
    page.goto(link)
    page.wait_for_selector(".welcome", state="hidden")
    page.wait_for_selector("[data-field=temperature]", state="attached")
    page.goto(link)  # a tab that has a token keeps it
    stranger.until("location.hash === ''")
    assert stranger.answer("What is Outworker?")
    another = page.context.new_page()
    another.goto(link)
    another.wait_for_selector("#token-error:has-text('outworker page')")
    assert another.url == f"{live.url}/"


def test_the_link_that_the_command_prints(stranger: Visit, live: LiveServer) -> None:
    """`outworker page` makes the code in a process of its own; the server knows it."""
    printed = outworker("page", data_dir=live.data_dir, PORT=live.url.rpartition(":")[2])
    assert printed.returncode == 0, printed.stderr
    link = printed.stdout.strip()
    assert link.startswith(f"{live.url}/#code=")
    stranger.page.goto(link)
    stranger.page.wait_for_selector("[data-field=temperature]", state="attached")
    assert stranger.answer("What is Outworker?")


def test_the_token_is_asked_for_once_and_kept_in_the_tab(stranger: Visit, live: LiveServer) -> None:
    page = stranger.page
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#token-error:has-text('Authentication error')")
    page.fill("#token", live.token)
    page.keyboard.press("Enter")
    page.wait_for_selector(".welcome", state="hidden")
    assert stranger.answer("What is Outworker?")
    page.reload()
    page.wait_for_selector("[data-field=temperature]", state="attached")
    assert page.locator("dialog[open]").count() == 0
    session, local, cookie = page.evaluate(f"JSON.parse({STORED})")
    assert (session, local, cookie) == (["outworker.session"], ["outworker.theme"], "")
    assert live.token not in page.content()
    another = page.context.new_page()
    another.goto(live.url)
    another.wait_for_selector(WELCOME)


def test_the_account_is_the_tokens(stranger: Visit, live: LiveServer) -> None:
    other = Account.new(live, "somebody")
    stranger.page.fill("#token", other.token)
    stranger.page.click("text=Use this token")
    stranger.page.wait_for_selector("[data-field=temperature]", state="attached")
    assert stranger.answer("What is Outworker?")
    assert "/accounts/somebody/" in stranger.runs[0]
    assert "pirate" not in stranger.page.locator(".tools select").inner_text()


def test_a_revoked_token_is_asked_for_again(visit: Visit, live: LiveServer) -> None:
    made = outworker("token", "create", "--account", "local", "--scope", "ai:read", data_dir=live.data_dir)
    token_id, token = (line.split()[1] for line in made.stdout.splitlines())
    visit.page.get_by_role("button", name="Token").click()
    visit.page.fill("#token", token)
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("dialog.token", state="hidden")
    outworker("token", "revoke", token_id, data_dir=live.data_dir)
    visit.page.wait_for_timeout(1000)
    with visit.refusals():
        visit.ask("What is Outworker?")
        visit.page.wait_for_selector("dialog.token[open]")
    assert "refuses the token" in visit.page.locator("#token-error").inner_text()
    visit.page.fill("#token", live.token)
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("dialog.token", state="hidden")
    assert visit.page.input_value("#composer") == "What is Outworker?"
    visit.page.press("#composer", "Enter")
    visit.until("document.querySelectorAll('article.reply').length === 2")
    visit.wait_done()
    assert visit.said()


def test_what_the_model_and_the_user_write_is_text(visit: Visit) -> None:
    """The engine can't be made to write markup, so its events are: the page is what is looked at."""
    event = EVENT.format(text=json.dumps(MARKUP))
    body = f'{event}data: {{"response": "", "usage": {{"prompt_tokens": 1, "completion_tokens": 1}}}}\n\ndata: [DONE]\n\n'
    visit.page.route("**/ai/run/**", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    assert visit.answer(MARKUP) == MARKUP
    assert visit.page.locator(".question .text").inner_text() == MARKUP
    assert visit.page.locator(".log :is(img, script, b)").count() == 0
    assert visit.page.title() == "Outworker playground"


def test_no_script_but_the_servers_files_runs(visit: Visit) -> None:
    """Each way that injected markup could take is closed by the policy."""
    refused = visit.page.evaluate("""async () => {
      const seen = [];
      document.addEventListener("securitypolicyviolation", (event) => seen.push(event.effectiveDirective));
      const tried = [];
      const attempt = (name, work) => { try { work(); tried.push(name); } catch { /* refused */ } };
      attempt("innerHTML", () => { document.body.innerHTML = "<p>no</p>"; });
      attempt("script", () => { document.createElement("script").text = "window.ran = true"; });
      const image = new Image();
      image.src = "http://203.0.113.1/x.png";
      const style = document.createElement("style");
      style.textContent = "body { display: none }";
      document.head.append(style);
      await new Promise((resolve) => setTimeout(resolve, 0)); // DevTools lifts the policy until here
      attempt("eval", () => (0, eval)("1"));
      await fetch("http://203.0.113.1/").catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { tried, seen: [...new Set(seen)].sort(), ran: window.ran ?? false };
    }""")
    assert refused["tried"] == []
    assert refused["ran"] is False
    assert {"connect-src", "img-src", "style-src-elem", "require-trusted-types-for"} <= set(refused["seen"])
    visit.complaints.clear()  # a line for each
    visit.requests.clear()


def test_what_is_sent_while_the_engine_starts_is_answered_when_it_is_ready(visit: Visit) -> None:
    steps = [{"name": "tokenizer", "at_s": 0.8}, {"name": "weights loaded", "at_s": 2.5}]
    body = json.dumps({"status": "not ready", "engines": ["starting"], "steps": steps})
    starting = True

    def ready(route: Route) -> None:
        if starting:
            route.fulfill(status=503, body=body)
        else:
            route.continue_()

    visit.page.route("**/ready", ready)
    visit.page.reload()
    visit.page.wait_for_selector(".trouble:has-text('engine is starting')")
    assert visit.page.locator(".steps li").all_inner_texts() == [
        "tokenizer (0.8 s)",
        "weights loaded (2.5 s)",
    ]
    visit.page.wait_for_selector("[data-field=temperature]", state="attached")
    visit.ask("What is Outworker?")
    visit.page.wait_for_selector("article.reply:has-text('Sent when the engine is ready')")
    visit.page.wait_for_timeout(500)
    assert visit.runs == []
    starting = False
    visit.wait_done()
    assert visit.said()
    assert "Sent when" not in visit.said()
    visit.page.wait_for_selector(".trouble", state="hidden")
    visit.complaints.clear()  # Chromium's lines for 503


def test_what_waits_for_the_engine_can_be_stopped(visit: Visit) -> None:
    visit.page.route("**/ready", lambda route: route.fulfill(status=503, body='{"engines": ["starting"]}'))
    visit.page.reload()
    visit.page.wait_for_selector("[data-field=temperature]", state="attached")
    visit.ask("What is Outworker?")
    visit.page.wait_for_selector("article.reply:has-text('Sent when the engine is ready')")
    visit.page.keyboard.press("Escape")
    visit.wait_done()
    assert visit.figures()["finish"] == "finish: stopped"
    assert visit.runs == []
    visit.complaints.clear()  # Chromium's lines for 503


def test_nothing_of_the_token_is_in_the_servers_log(visit: Visit, live: LiveServer) -> None:
    visit.answer("What is Outworker?")
    assert live.token not in Path(live.data_dir / "server.log").read_text()
    assert all(live.token not in url for url in visit.requests)


def test_without_a_token_there_is_one_calm_view(stranger: Visit) -> None:
    """It says what this is and where a token comes from; nothing that needs one is there."""
    page = stranger.page
    assert "outworker page" in page.locator(".welcome").inner_text()
    for part in ("nav", "#model", "#composer", ".uploader", "header >> text=Token", ".about"):
        assert not page.locator(part).first.is_visible(), part
    page.goto(f"{stranger.live.url}/#/adapters")
    assert page.locator(".welcome").is_visible()
    assert not page.locator(".uploader").is_visible()
    page.fill("#token", "ключ")
    page.keyboard.press("Enter")
    assert "ASCII" in page.locator("#token-error").inner_text()
    assert stranger.runs == []


def test_a_kept_token_that_works_no_more_leads_back_to_that_view(stranger: Visit) -> None:
    kept = '{"token": "old", "account_id": "local"}'
    stranger.page.evaluate("kept => sessionStorage.setItem('outworker.session', kept)", kept)
    stranger.page.reload()
    stranger.page.wait_for_selector("#token-error:has-text('refuses the token')")
    assert stranger.page.locator(WELCOME).count() == 1
    assert not stranger.page.locator("#composer").is_visible()


@pytest.mark.parametrize("kept", ["{", "null", '"text"'])
def test_a_tab_with_something_unreadable_in_it(visit: Visit, live: LiveServer, kept: str) -> None:
    for area in ("sessionStorage", "localStorage"):
        for key in ("outworker.session", "outworker.theme"):
            visit.page.evaluate("([area, key, kept]) => window[area].setItem(key, kept)", [area, key, kept])
    visit.page.reload()
    visit.page.wait_for_selector(WELCOME)
    visit.page.fill("#token", live.token)
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("[data-field=temperature]", state="attached")
    assert visit.answer("What is Outworker?")


def test_a_start_that_fails_says_why(visit: Visit) -> None:
    refusal = '{"errors": [{"code": 3043, "message": "Something broke"}]}'
    visit.page.route("**/ai/models/search?*", lambda route: route.fulfill(status=500, body=refusal))
    visit.page.reload()
    visit.page.wait_for_selector(".trouble:has-text('3043: Something broke')")
    visit.complaints.clear()  # Chromium's own line for 500


def test_an_engine_that_failed_is_not_called_starting(visit: Visit) -> None:
    said = iter(['{"engines": ["failed"]}', '{"engines": ["failed"]}'])

    def ready(route: Route) -> None:
        body = next(said, None)
        if body is None:
            route.continue_()
        else:
            route.fulfill(status=503, body=body)

    visit.page.route("**/ready", ready)
    visit.page.route("**/ai/run/**", lambda route: route.abort(), times=1)
    visit.ask("What is Outworker?")  # what finds nobody makes the page look
    visit.page.wait_for_selector(".trouble:has-text('engine has failed')")
    visit.page.wait_for_selector(".trouble:has-text('engine has failed')", state="hidden")
    visit.page.press("#composer", "Enter")
    visit.until("document.querySelectorAll('article.reply').length === 2")
    visit.wait_done()
    assert visit.said()
    visit.complaints.clear()  # Chromium's own lines
