"""app/http/routes/run.py over a real socket, with the fake engine."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest

from app.engines.fake import ANSWER, FakeEngine
from tests.conftest import CF, HF, Serve

pytestmark = pytest.mark.anyio

ASK = {"prompt": "Say hello"}


def events(text: str) -> list[str]:
    assert text.endswith("\n\n")
    return [event.removeprefix("data: ") for event in text[:-2].split("\n\n")]


async def test_json_answer_in_the_envelope(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.run(ASK)
        body = answer.json()
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert list(body) == ["result", "success", "errors", "messages"]
        assert body["result"]["response"] == ANSWER
        words = len(ANSWER.split())
        prompt_tokens = body["result"]["usage"]["prompt_tokens"]
        assert body["result"]["usage"] == {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": words,
            "total_tokens": prompt_tokens + words,
        }
        assert prompt_tokens > 5
        assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
        assert len(answer.headers["cf-ai-req-id"]) == 36


@pytest.mark.parametrize("model", [HF, CF])
async def test_the_model_raw_or_percent_encoded(serve: Serve, model: str) -> None:
    async with serve() as served:
        for name in (model, quote(model, safe="@"), quote(model, safe=""), model + "/"):
            answer = await served.client.post(
                f"/client/v4/accounts/local/ai/run/{name}", content=orjson.dumps(ASK)
            )
            assert answer.status_code == 200, name


async def test_the_model_in_the_body(serve: Serve) -> None:
    async with serve() as served:
        path = "/client/v4/accounts/local/ai/run"
        answer = await served.client.post(path, json={"model": HF, "input": ASK})
        assert answer.json()["result"]["response"] == ANSWER
        stream = await served.client.post(path, json={"model": HF, "input": {**ASK, "stream": True}})
        assert events(stream.text)[-1] == "[DONE]"
        bodies: list[Any] = [{"model": HF}, {"input": ASK}, [], {"model": 5, "input": ASK}]
        for body in bodies:
            refused = await served.client.post(path, json=body)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, 5006)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", None],
)
async def test_the_body_is_json_whatever_the_content_type(serve: Serve, content_type: str | None) -> None:
    async with serve() as served:
        headers = {"content-type": content_type} if content_type else {}
        answer = await served.client.post(served.path(), content=b'{"prompt": "a"}', headers=headers)
        assert answer.status_code == 200


async def test_the_stream_chunk_for_chunk(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.run({**ASK, "stream": True})
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        *chunks, usage, done = events(answer.text)
        assert done == "[DONE]"
        parsed = [json.loads(chunk) for chunk in chunks]
        assert "".join(chunk["response"] for chunk in parsed) == ANSWER
        assert all(list(chunk) == ["response", "p"] for chunk in parsed)
        alphabet = "abdefghijklmnoprstuvxyz1234567890"
        assert all(chunk["p"] and alphabet.startswith(chunk["p"]) for chunk in parsed)
        assert len({len(chunk["p"]) for chunk in parsed}) > 1
        assert list(json.loads(usage)) == ["response", "usage"]
        assert json.loads(usage)["usage"]["completion_tokens"] == len(parsed)


async def test_padding_can_be_switched_off(serve: Serve) -> None:
    async with serve(server={"stream_padding": False}) as served:
        answer = await served.run({**ASK, "stream": True})
        assert json.loads(events(answer.text)[0]) == {"response": "This"}


async def test_max_tokens_defaults_to_256_and_is_kept(serve: Serve) -> None:
    async with serve(FakeEngine(endless=True)) as served:
        for body, tokens in ((ASK, 256), ({**ASK, "max_tokens": 7}, 7)):
            answer = await served.run(body)
            assert answer.json()["result"]["usage"]["completion_tokens"] == tokens


async def test_a_likely_typo_is_answered_with_a_hint(serve: Serve) -> None:
    async with serve() as served:
        answer = await served.run({**ASK, "temprature": 0.1})
        assert answer.status_code == 200
        assert "'temprature'" in answer.json()["messages"][0]["message"]
        assert "'temperature'" in answer.json()["messages"][0]["message"]


async def expect(answer: httpx.Response, status: int, code: int, text: str) -> None:
    body = answer.json()
    assert answer.status_code == status, body
    assert list(body) == ["errors", "success", "result", "messages"]
    assert body["errors"][0]["code"] == code
    assert text in body["errors"][0]["message"]
    assert body["errors"][0]["message"].endswith(f"({answer.headers['cf-ai-req-id']})")
    assert (body["success"], body["result"], body["messages"]) == (False, {}, [])


async def test_refusals(serve: Serve) -> None:
    async with serve() as served:
        await expect(
            await served.run({"prompt": ""}), 400, 5006, "AiError: Bad input: Error: oneOf at '/' not met"
        )
        await expect(await served.run(ASK, model="@cf/none"), 400, 5007, "No such model @cf/none or task")
        await expect(await served.run({**ASK, "lora": "nope"}), 404, 5033, "Finetune nope does not exist")
        await expect(
            await served.client.post(served.path() + "?lora=nope", json=ASK),
            404,
            5033,
            "Finetune nope does not",
        )
        await expect(await served.run({**ASK, "max_tokens": 0}), 400, 5006, "'/max_tokens' must be >= 1")
        long = {"messages": [{"role": "user", "content": "word " * 1000}] * 4}
        await expect(await served.run(long), 413, 5021, "(3072)")
        await expect(await served.run({**ASK, "max_tokens": 4096}), 413, 5021, "(4096)")
        for field in (b"temperature", b"top_p", b"max_tokens", b"seed"):
            for number in (b"1e999", b"-1e400", b"9" * 400):
                body = b'{"prompt": "a", "%b": %b}' % (field, number)
                answer = await served.client.post(served.path(), content=body)
                assert answer.status_code in (400, 413), answer.text
                assert answer.json()["errors"][0]["code"] in (5006, 5021), answer.text
                assert field == b"max_tokens" or f"'/{field.decode()}'" in answer.text
        odd = b'{"prompt": "a", "unknown": -1e999, "metadata": {"a": [1e400]}}'
        assert (await served.client.post(served.path(), content=odd)).status_code == 200
        await expect(await served.run({**ASK, "max_tokens": 10**12}), 413, 5021, "(4096)")
        assert (await served.run({**ASK, "max_tokens": 4096}, model=CF)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"prompt": NaN}',
        b'{"prompt": "a"} x',
    ],
)
async def test_bodies_that_are_not_json(serve: Serve, body: bytes) -> None:
    async with serve() as served:
        await expect(await served.client.post(served.path(), content=body), 400, 3003, "body: valid JSON")


async def test_a_body_over_the_limit(serve: Serve) -> None:
    async with serve(limits={"max_body_bytes": 1000}) as served:
        await expect(await served.run({"prompt": "a" * 1000}), 413, 3006, "at most 1000 bytes")

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b"a" * 100

        answer = await served.client.post(served.path(), content=chunks())
        await expect(answer, 413, 3006, "at most 1000 bytes")
        assert (await served.run(ASK)).status_code == 200


async def test_not_ready_is_429_with_retry_after(serve: Serve) -> None:
    async with serve(FakeEngine(start_s=30), wait_ready=False) as served:
        assert (await served.client.get("/health")).status_code == 200
        assert (await served.client.get("/ready")).status_code == 503
        answer = await served.run(ASK)
        await expect(answer, 429, 3040, "not ready")
        assert int(answer.headers["retry-after"]) > 0


async def test_a_full_queue_is_429_while_admitted_requests_go_on(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.2)
    async with serve(engine, limits={"max_waiting_requests": 3}) as served:
        admitted = [asyncio.create_task(served.run({**ASK, "max_tokens": 2})) for _ in range(3)]
        while len(engine.running) < 3:
            await asyncio.sleep(0.005)
        refused = await served.run(ASK)
        await expect(refused, 429, 3040, "3 requests are waiting")
        assert "retry-after" in refused.headers
        assert [answer.status_code for answer in await asyncio.gather(*admitted)] == [200, 200, 200]
        assert (await served.run({**ASK, "max_tokens": 1})).status_code == 200


@pytest.mark.soak
async def test_overload_is_refused_at_once_and_hurts_nobody(
    serve: Serve, times: Callable[[int], int]
) -> None:
    """Far more clients than there is room for: each gets its answer or 429, and the admitted ones all finish."""
    engine = FakeEngine(delay_s=0.02)
    refusals: list[float] = []
    async with serve(engine, limits={"max_waiting_requests": 8}) as served:

        async def ask() -> int:
            began = time.perf_counter()
            answer = await served.run({**ASK, "max_tokens": 3})
            if answer.status_code == 429:
                refusals.append(time.perf_counter() - began)
            return answer.status_code

        statuses = [
            status for _ in range(times(200)) for status in await asyncio.gather(*(ask() for _ in range(24)))
        ]
    assert set(statuses) == {200, 429}
    assert len(engine.finished) == min(statuses.count(200), engine.finished.maxlen or 0)
    assert not engine.aborted
    refusals.sort()
    median_ms, slowest_ms = refusals[len(refusals) // 2] * 1000, refusals[-1] * 1000
    print(f"{len(refusals)} refusals: median {median_ms:.1f} ms, slowest {slowest_ms:.1f} ms")


async def test_waiting_tokens_are_bounded(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.2)
    async with serve(engine, limits={"max_waiting_tokens": 50}) as served:
        first = asyncio.create_task(served.run({"prompt": "word " * 60, "max_tokens": 1}))
        while not engine.running:
            await asyncio.sleep(0.005)
        await expect(await served.run(ASK), 429, 3040, "prompt tokens are waiting")
        assert (await first).status_code == 200


async def test_the_deadline_unary_and_streamed(serve: Serve) -> None:
    engine = FakeEngine(delay_s=0.05, endless=True)
    async with serve(engine, limits={"request_deadline_s": 0.3}) as served:
        await expect(await served.run(ASK), 408, 3007, "within 0.3 s")
        stream = await served.run({**ASK, "stream": True})
        assert stream.status_code == 200
        last = json.loads(events(stream.text)[-1])
        assert last["errors"][0]["code"] == 3007
        assert "[DONE]" not in stream.text
        assert len(engine.aborted) == 2
        assert not engine.running


@pytest.mark.soak
@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_leaving_aborts_generation(
    serve: Serve, stream: bool, times: Callable[[int], int]
) -> None:
    engine = FakeEngine(delay_s=0.01, endless=True)
    slowest_s = 0.0
    async with serve(engine) as served:
        for count in range(1, times(1000) + 1):
            task = asyncio.create_task(served.run({**ASK, "stream": stream}))
            while not engine.running:
                await asyncio.sleep(0.001)
            left = time.perf_counter()
            task.cancel()
            async with asyncio.timeout(5):
                while engine.running:
                    await asyncio.sleep(0.001)
            slowest_s = max(slowest_s, time.perf_counter() - left)
            assert len(engine.aborted) == count
        assert not engine.finished
    print(f"slowest of {count} aborts: {slowest_s * 1000:.1f} ms")


async def test_an_unexpected_fault_is_500_without_its_cause(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    async with serve(engine) as served:

        def broken(*args: object, **kwargs: object) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(engine, "generate", broken)
        for body in (ASK, {**ASK, "stream": True}):
            answer = await served.run(body)
            assert "secret detail" not in answer.text
            assert "3043" in answer.text


async def test_details_say_what_workers_ai_leaves_out(serve: Serve) -> None:
    async with serve(server={"stream_padding": False}) as served:
        plain, path = served.path(), served.path() + "?details=true"
        for limit, reason in ((3, "length"), (100, "stop")):
            body = {**ASK, "max_tokens": limit}
            result = (await served.client.post(path, json=body)).json()["result"]
            assert result == {**(await served.run(body)).json()["result"], "finish_reason": reason}
            shown = [
                json.loads(each)
                for each in events((await served.client.post(path, json={**body, "stream": True})).text)[:-1]
            ]
            usual = [
                json.loads(each)
                for each in events((await served.client.post(plain, json={**body, "stream": True})).text)[:-1]
            ]
            counts = [each.pop("tokens") for each in shown[:-1]]
            assert counts == list(range(1, len(shown)))
            assert shown[-1].pop("finish_reason") == reason
            assert shown == usual


async def test_details_are_true_or_false(serve: Serve) -> None:
    async with serve() as served:
        for query, code in (("details=false", None), ("details=", 5006), ("details=1", 5006)):
            answer = await served.client.post(f"{served.path()}?{query}", json=ASK)
            if code is None:
                assert "finish_reason" not in answer.json()["result"]
            else:
                await expect(answer, 400, code, "at '/details'")
        body = {"model": HF, "input": ASK}
        answer = await served.client.post("/client/v4/accounts/local/ai/run?details=true", json=body)
        assert answer.json()["result"]["finish_reason"] == "stop"


async def test_details_of_a_delta_with_several_tokens(serve: Serve) -> None:
    async with serve(FakeEngine(tokens_per_delta=4), server={"stream_padding": False}) as served:
        answer = await served.client.post(served.path() + "?details=true", json={**ASK, "stream": True})
        counts = [json.loads(each)["tokens"] for each in events(answer.text)[:-2]]
        assert counts == [4, 8, 12, 16, 17][: len(counts)]
        assert counts[:3] == [4, 8, 12]
