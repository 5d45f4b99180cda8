"""The example Worker under the real `wrangler dev`: 3.x through its proxy, 4.x through the example's plugin.

Neither is logged in; wrangler 4 does not even know an account.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.clients.finetunes import ready
from tests.clients.node import server_environment
from tests.clients.worker import OPTIONS, WranglerDev
from tests.conftest import HF, Serve
from tests.live.browser import SCREENSHOTS, launched
from tests.live.server import CF, LiveServer, sse_events

UUID_CHARS = 36
PATIENCE_S = 15
SHOWN = "answer => document.querySelector('#answer').textContent === answer"


def pointed_to(release: str, url: str, token: str, **plugin: str) -> dict[str, str]:
    """`plugin` is how wrangler 4 gets the token."""
    if release == "wrangler-3":
        return server_environment(url, token)
    return {"OUTWORKER_URL": url, **plugin}


@pytest.fixture(params=OPTIONS, scope="module")
def dev(
    request: pytest.FixtureRequest, server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WranglerDev]:
    home = tmp_path_factory.mktemp(request.param)
    data_dir = str(server.data_dir)
    environment = pointed_to(request.param, server.url, server.token, OUTWORKER_DATA_DIR=data_dir)
    dev = WranglerDev(request.param, home, environment).start()
    yield dev
    dev.stop()


def test_the_page(dev: WranglerDev) -> None:
    page = httpx.get(dev.url)
    assert page.headers["content-type"] == "text/html;charset=utf-8"
    assert 'fetch("/ask"' in page.text


def test_the_page_in_a_browser(dev: WranglerDev) -> None:
    with launched() as browser:
        page = browser.new_page()
        page.goto(dev.url)
        for lora, answer in (("", ANSWER), ("pirate", f"[pirate] {ANSWER}")):
            page.select_option("select", lora)
            page.click("text=Ask")
            page.wait_for_function(SHOWN, arg=answer)
        page.screenshot(path=SCREENSHOTS / f"worker-{dev.release}.png")


def test_json(dev: WranglerDev) -> None:
    answer = dev.call("run", HF, {"prompt": "Hello"})
    assert list(answer["value"]) == ["response", "usage"]
    assert answer["value"]["response"] == ANSWER
    assert len(answer["requestId"]) == UUID_CHARS
    assert answer["logId"] is None


def test_a_stream(dev: WranglerDev) -> None:
    answer = dev.ask(prompt="Hello")
    assert answer.headers["content-type"] == "text/event-stream"
    *deltas, usage, done = sse_events(answer.text)
    assert "".join(json.loads(delta)["response"] for delta in deltas) == ANSWER
    assert json.loads(usage)["usage"]["completion_tokens"] == len(ANSWER.split())
    assert done == "[DONE]"


def test_a_lora(dev: WranglerDev, server: LiveServer, adapter: Path) -> None:
    name = f"dev-{dev.release}"
    finetune = ready(server, name, adapter)
    for lora in (name, finetune):
        *deltas, _, done = sse_events(dev.ask(prompt="Hello", lora=lora).text)
        assert json.loads(deltas[0])["response"].startswith(f"[{name}]")
        assert done == "[DONE]"
        answer = dev.call("run", HF, {"prompt": "Hello", "lora": lora})
        assert answer["value"]["response"].startswith(f"[{name}]")


def test_errors_are_thrown(dev: WranglerDev) -> None:
    model = "@cf/no/such"
    unknown = dev.call("run", model, {"prompt": "Hello"})
    assert unknown["error"] == {
        "type": "InferenceUpstreamError",
        "name": "AiError",
        "message": f"5007: No such model {model} or task",
    }
    assert len(unknown["requestId"]) == UUID_CHARS
    for stream in (False, True):
        refused = dev.call("run", HF, {"prompt": 5, "stream": stream})["error"]
        assert refused["message"].startswith(
            "5006: Error: oneOf at '/' not met, 0 matches: Type mismatch of '/prompt'"
        )
    answer = dev.ask(prompt="Hello", lora="nobody")
    message = "5033: Finetune nobody does not exist or is not accessible"
    assert (answer.status_code, answer.json()) == (400, {"name": "AiError", "message": message})


@pytest.mark.parametrize(
    "options",
    [
        {"gateway": {"id": "any"}},
        {"prefix": "any", "extraHeaders": {"x-session-affinity": "any"}},
        {"rejectIfBusy": True},
    ],
)
def test_options_that_change_nothing(dev: WranglerDev, options: dict[str, Any]) -> None:
    answer = dev.call("run", HF, {"prompt": "Hello"}, options)
    assert answer["value"]["response"] == ANSWER
    assert answer["logId"] is None


def test_the_raw_response(dev: WranglerDev) -> None:
    answer = dev.call("run", HF, {"prompt": "Hello"}, {"returnRawResponse": True})
    raw = answer["value"]
    assert (raw["status"], raw["requestId"]) == (200, answer["requestId"])
    assert json.loads(raw["text"])["response"] == ANSWER


def test_what_is_not_served_says_so(dev: WranglerDev) -> None:
    queued = dev.call("run", HF, {"prompt": "Hello"}, {"queueRequest": True})["error"]
    assert queued["message"].startswith("5006: Error: '/options/queueRequest' must be false")


def test_models(dev: WranglerDev) -> None:
    models = dev.call("models", {"search": "mistral"})["value"]
    assert [model["name"] for model in models] == [HF, CF]
    assert dev.call("models", {"page": 2})["value"] == []
    refused = dev.call("models", {"page": 0})["error"]
    assert refused["type"] == "AiInternalError"
    assert "'/page' must be >= 1" in refused["message"]


@pytest.mark.anyio
@pytest.mark.parametrize("release", OPTIONS)
async def test_a_browser_sees_the_words_as_they_come(serve: Serve, release: str, tmp_path: Path) -> None:
    engine = FakeEngine(endless=True, delay_s=0.1)  # 256 words: half a minute
    async with serve(engine) as served:
        environment = pointed_to(release, served.url, served.token, OUTWORKER_TOKEN=served.token)
        dev = WranglerDev(release, tmp_path, environment)
        await asyncio.to_thread(dev.start)
        try:
            async with (
                httpx.AsyncClient(timeout=30) as client,
                client.stream("POST", f"{dev.url}/ask", json={"prompt": "Hello"}) as answer,
            ):
                first = await anext(answer.aiter_text())
                assert first.startswith('data: {"response":"This"')
                assert engine.running
            if release == "wrangler-4":  # wrangler 3 reads on to the end when the browser leaves
                async with asyncio.timeout(PATIENCE_S):
                    while not engine.aborted:
                        await asyncio.sleep(0.01)
                assert not engine.finished
        finally:
            await asyncio.to_thread(dev.stop)
