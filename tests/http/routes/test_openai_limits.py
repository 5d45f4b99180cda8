"""`max_tokens` in the compatible dialects: an upper limit, and an answer that it cuts is one. Elsewhere it is neither."""

from typing import Any

import orjson
import pytest

from app.engines.fake import FakeEngine
from app.types import Delta, TokenLogprob
from tests.conftest import CF, HF, Serve, Served
from tests.http.routes.test_compatible_apis import BODIES, ROOT, data_of, text_of
from tests.http.routes.test_openai_errors import FORMATS

pytestmark = pytest.mark.anyio

NAMES = {"responses": ("max_output_tokens",), "chat/completions": ("max_tokens", "max_completion_tokens")}
CITY = '{"city": "Berlin and more"}'
CUT = '{"city": "Berlin'
LENGTH = {"responses": "incomplete", "messages": "max_tokens"}
JSON_BODY = {"prompt": "Where?", "max_tokens": 2, "response_format": {"type": "json_object"}}
BINDING = {"cf-consn-model-id": HF}


def why_ended(path: str, answer: dict[str, Any]) -> str:
    if path == "responses":
        return str(answer["status"])
    return str(answer["stop_reason"] if path == "messages" else answer["choices"][0]["finish_reason"])


def tokens_of(answer: dict[str, Any]) -> tuple[int, int]:
    """Of prompt and answer."""
    usage = answer["usage"]
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    return int(read), int(usage.get("completion_tokens", usage.get("output_tokens")))


async def ask(served: Served, path: str, **more: Any) -> dict[str, Any]:
    answer = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(("model", "context"), [(HF, 4096), (CF, 15000)])
async def test_it_is_lowered_to_what_fits(serve: Serve, path: str, model: str, context: int) -> None:
    async with serve(FakeEngine(endless=True, tokens_per_delta=512)) as served:
        for name in NAMES.get(path, ("max_tokens",)):
            for asked in (4096 + 15000, 32_000, 10**12, 1e9):
                answer = await ask(served, path, model=model, **{name: asked})
                assert sum(tokens_of(answer)) == context
                assert why_ended(path, answer) == LENGTH.get(path, "length")
            assert tokens_of(await ask(served, path, model=model, **{name: 7}))[1] == 7


@pytest.mark.parametrize("path", BODIES)
async def test_only_an_input_without_room_is_refused(serve: Serve, path: str) -> None:
    """The prompt is made one token too long, then exactly so long that one token has room."""
    async with serve(FakeEngine(endless=True)) as served:
        field = {"completions": "prompt", "responses": "input"}.get(path)

        def body(words: int) -> dict[str, Any]:
            text = "a " * words
            said = {field: text} if field else {"messages": [{"role": "user", "content": text}]}
            return {**BODIES[path], "model": CF, **said, "max_tokens": 4096, "max_output_tokens": 4096}

        before = tokens_of(await ask(served, path, **body(100)))[0]
        fits = 100 + 15_000 - 1 - before
        for more, status in ((0, 200), (1, 413), (50_000, 413)):
            answer = await served.client.post(f"{ROOT}/{path}", json=body(fits + more))
            assert answer.status_code == status, answer.text
            if status == 200:
                assert tokens_of(answer.json()) == (14_999, 1)
            else:
                assert answer.json()["errors"][0]["code"] == 5021


async def test_min_tokens_go_down_with_it(serve: Serve) -> None:
    async with serve(FakeEngine()) as served:
        answer = await ask(served, "chat/completions", max_tokens=5000, min_tokens=4090)
        assert sum(tokens_of(answer)) == 4096


async def test_natively_it_is_what_was_asked_for(serve: Serve) -> None:
    async with serve(FakeEngine()) as served:
        native = await served.run({"prompt": "hi", "max_tokens": 4096})
        bound = await served.client.post(
            "/run", json={"inputs": {"prompt": "hi", "max_tokens": 4096}}, headers=BINDING
        )
        assert (native.status_code, native.json()["errors"][0]["code"]) == (413, 5021)
        assert (bound.status_code, bound.json()["internalCode"]) == (413, 5021)


@pytest.mark.parametrize("path", BODIES)
async def test_json_that_it_cuts_is_an_answer(serve: Serve, path: str) -> None:
    async with serve(FakeEngine(answer=CITY)) as served:
        name = NAMES.get(path, ("max_tokens",))[0]
        short = {**FORMATS[path], name: 2}
        answer = await ask(served, path, **short)
        assert (text_of(path, answer), why_ended(path, answer)) == (CUT, LENGTH.get(path, "length"))
        streamed = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **short, "stream": True})
        assert '"error' not in streamed.text.replace('"error":null', "")
        assert LENGTH.get(path, "length") in streamed.text
        assert data_of(streamed.text)[-1] == "[DONE]" or path in LENGTH
        assert "Berlin" in streamed.text
        whole = await ask(served, path, **FORMATS[path])
        assert orjson.loads(text_of(path, whole)) == {"city": "Berlin and more"}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("answer", [CUT, '{"city": 5}', "It is Berlin", "", "[1]"])
async def test_json_that_ended_by_itself_must_be_right(serve: Serve, path: str, answer: str) -> None:
    async with serve(FakeEngine(answer=answer)) as served:
        if path == "completions" and answer == '{"city": 5}':
            return  # it asks for any object
        refused = await served.client.post(f"{ROOT}/{path}", json={**BODIES[path], **FORMATS[path]})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 5024)


async def test_natively_cut_json_is_none(serve: Serve) -> None:
    async with serve(FakeEngine(answer=CITY)) as served:
        assert (await served.run(JSON_BODY)).json()["errors"][0]["code"] == 5024
        bound = await served.client.post("/run", json={"inputs": JSON_BODY}, headers=BINDING)
        assert bound.json()["internalCode"] == 5024


class Improbable(FakeEngine):
    """As an engine gives tokens that a grammar forbids, through `app.engines.logprobs`."""

    async def generate(self, *args: Any, **options: Any) -> Any:
        yield Delta("a", [1], "stop", 0, (TokenLogprob("a", 0.0, (("a", 0.0), ("b", -9999.0))),))


async def test_a_token_that_can_not_come_has_a_number(serve: Serve) -> None:
    async with serve(Improbable()) as served:
        answer = await ask(served, "chat/completions", logprobs=True, top_logprobs=2)
        (token,) = answer["choices"][0]["logprobs"]["content"]
        assert [one["logprob"] for one in token["top_logprobs"]] == [0.0, -9999.0]
