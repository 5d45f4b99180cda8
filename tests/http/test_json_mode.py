"""JSON mode through HTTP: what each kind of answer looks like, with an engine that answers what it is told."""

from typing import Any

import orjson
import psutil
import pytest

from app.engines.fake import FakeEngine
from tests.conftest import CF, HF, Serve

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city"],
}
ANY = {"prompt": "Where?", "response_format": {"type": "json_object"}}
ASK = {"prompt": "Where?", "response_format": {"type": "json_schema", "json_schema": SCHEMA}}
GOOD = '{"city": "Berlin", "degrees": 21}'
BAD = '{"city": "Berlin", "degrees": "warm"}'
CHAT = "/client/v4/accounts/local/ai/v1/chat/completions"


def error(answer: Any) -> tuple[int, int, str]:
    (only,) = answer.json()["errors"]
    return answer.status_code, only["code"], only["message"].rsplit(" (", 1)[0]


@pytest.mark.parametrize("model", [HF, CF])
@pytest.mark.parametrize("ask", [ANY, ASK])
async def test_the_response_is_an_object(serve: Serve, model: str, ask: dict[str, Any]) -> None:
    async with serve(FakeEngine(answer=GOOD)) as served:
        answer = await served.run(ask, model)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["response"] == {"city": "Berlin", "degrees": 21}
        wrapped = {
            "type": "json_schema",
            "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA},
        }
        messages = [{"role": "user", "content": "Where?"}]
        answer = await served.run({"messages": messages, "response_format": wrapped}, model)
        assert answer.json()["result"]["response"] == {"city": "Berlin", "degrees": 21}


async def test_without_json_mode_the_same_text_stays_text(serve: Serve) -> None:
    async with serve(FakeEngine(answer=GOOD)) as served:
        for more in ({}, {"response_format": {"type": "text"}}):
            answer = await served.run({"messages": [{"role": "user", "content": "a"}], **more})
            assert answer.json()["result"]["response"] == GOOD
        assert psutil.Process().children() == []


async def test_a_stream_has_the_text_in_pieces(serve: Serve) -> None:
    async with serve(FakeEngine(answer=GOOD)) as served:
        for ask in (ANY, ASK):
            text = (await served.run({**ask, "stream": True})).text
            events = [event.removeprefix("data: ") for event in text[:-2].split("\n\n")]
            assert events[-1] == "[DONE]"
            pieces = [orjson.loads(event)["response"] for event in events[:-1]]
            assert len(pieces) > 3
            assert orjson.loads("".join(pieces)) == {"city": "Berlin", "degrees": 21}


@pytest.mark.parametrize(
    ("answer", "ask", "why"),
    [
        (BAD, ASK, "The model's answer '/degrees' does not satisfy 'type'"),
        ("It is Berlin", ASK, "The model's answer is not JSON"),
        ("[1]", ANY, "The model's answer is not a JSON object"),
        (GOOD, {**ASK, "max_tokens": 2}, "The model's answer was cut off at max_tokens (2): ask for more"),
    ],
)
async def test_an_answer_that_is_something_else(
    serve: Serve, answer: str, ask: dict[str, Any], why: str
) -> None:
    async with serve(FakeEngine(answer=answer)) as served:
        assert error(await served.run(ask)) == (400, 5024, f"AiError: JSON Mode couldn't be met: {why}")
        streamed = await served.run({**ask, "stream": True})
        assert streamed.status_code == 200
        assert "[DONE]" not in streamed.text
        last = orjson.loads(streamed.text[:-2].split("\n\n")[-1].removeprefix("data: "))
        assert last["errors"][0]["code"] == 5024
        assert why in last["errors"][0]["message"]


async def test_the_openai_dialect_has_it_as_text(serve: Serve) -> None:
    messages = [{"role": "user", "content": "Where?"}]
    wrapped = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}
    async with serve(FakeEngine(answer=GOOD)) as served:
        body = {"model": HF, "messages": messages, "response_format": wrapped}
        answer = await served.client.post(CHAT, json=body)
        assert answer.json()["choices"][0]["message"]["content"] == GOOD
    async with serve(FakeEngine(answer=BAD)) as served:
        assert error(await served.client.post(CHAT, json=body))[:2] == (400, 5024)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (
            {"type": "nope"},
            "'/response_format/json_schema' is not a JSON schema: '/type' does not satisfy 'anyOf'",
        ),
        ({"$ref": "http://127.0.0.1/x"}, "'/response_format/json_schema/$ref' must begin with '#'"),
        ({"enum": list(range(10_000))}, "'/response_format/json_schema/enum' must have at most 5000 values"),
        ({"title": "x" * 1_000_000}, "'/response_format/json_schema' must be at most 262144 bytes of JSON"),
    ],
)
async def test_schemas_that_are_refused(serve: Serve, schema: dict[str, Any], why: str) -> None:
    engine = FakeEngine(answer=GOOD)
    async with serve(engine) as served:
        for model in (HF, CF):
            refused = await served.run(
                {"prompt": "a", "response_format": {"type": "json_schema", "json_schema": schema}}, model
            )
            status, code, text = error(refused)
            assert (status, code) == (400, 5006)
            assert why in text
        assert not engine.finished


async def test_the_judge_ends_with_the_server(serve: Serve) -> None:
    async with serve(FakeEngine(answer=GOOD)) as served:
        assert (await served.run(ASK)).status_code == 200
        assert len(psutil.Process().children()) == 1
    assert psutil.Process().children() == []


async def test_stop_and_logprobs_reach_the_engine(serve: Serve) -> None:
    messages = [{"role": "user", "content": "a"}]
    async with serve(FakeEngine(answer="one two three four")) as served:
        body = {"model": HF, "messages": messages, "stop": ["three"], "logprobs": True, "top_logprobs": 2}
        answer = await served.client.post(CHAT, json=body)
        (choice,) = answer.json()["choices"]
        assert choice["message"]["content"] == "one two "
        assert choice["finish_reason"] == "stop"
        assert [len(token["top_logprobs"]) for token in choice["logprobs"]["content"]][:2] == [2, 2]
