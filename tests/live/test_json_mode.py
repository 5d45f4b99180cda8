"""JSON mode on the real engine: schemas of every kind, and what is made to take the engine down."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.standin.recipe.text import questions
from tests.live.schemas import schema
from tests.live.server import CF, HF, LiveServer, sse_events

pytestmark = pytest.mark.engine

QUESTION, ANSWER = next(iter(dict(questions()).items()))
AT_ONCE = 4
SIMPLE = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "born": {"type": "integer", "maximum": 2100}},
    "required": ["name", "born"],
}


def ask(wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A body whose answer must satisfy the schema `wanted`."""
    response_format = {"type": "json_schema", "json_schema": wanted}
    return {
        "prompt": "Tell me about yourself.",
        "response_format": response_format,
        "max_tokens": 600,
        **more,
    }


def code(answer: httpx.Response) -> int:
    return int(answer.json()["errors"][0]["code"])


@pytest.fixture(autouse=True)
def engine_lives(live: LiveServer) -> Any:
    """The same processes before and after, and a plain answer that is right."""
    before = engine_pids(live)
    yield
    assert live.text(QUESTION) == ANSWER
    assert engine_pids(live) == before


def engine_pids(live: LiveServer) -> set[int]:
    """vLLM's processes: the two that try schemas out may be replaced at any time."""
    helpers = ("grammar_worker", "schema_worker")
    return {
        process.pid
        for process in live.engine_processes()
        if not any(helper in part for part in process.cmdline() for helper in helpers)
    }


@pytest.mark.soak
def test_every_answer_satisfies_its_schema(live: LiveServer, request: pytest.FixtureRequest) -> None:
    """5024 says that the model did not come to an end, or that xgrammar does not know a keyword: rare."""
    count = 200 if request.config.getoption("--soak") else 40

    def one(seed: int) -> int:
        wanted = schema(seed)
        Draft202012Validator.check_schema(wanted)
        answer = live.run(ask(wanted, seed=seed + 1, temperature=1), HF if seed % 2 else CF)
        if answer.status_code == 200:
            Draft202012Validator(wanted).validate(answer.json()["result"]["response"])
            return 200
        assert (answer.status_code, code(answer)) == (400, 5024), (wanted, answer.text)
        return 5024

    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        plain = [pool.submit(live.text, QUESTION) for _ in range(count // 4)]
        codes = list(pool.map(one, range(count)))
        assert {answer.result() for answer in plain} == {ANSWER}
    assert codes.count(200) >= 0.8 * count, codes


def test_any_object(live: LiveServer) -> None:
    """Without a schema nothing bounds the object: what ends is one, what doesn't is 5024."""
    for seed in range(1, 9):
        body = {"prompt": "Answer in JSON.", "response_format": {"type": "json_object"}, "seed": seed}
        answer = live.run({**body, "max_tokens": 200, "temperature": 1})
        if answer.status_code == 200:
            assert isinstance(answer.json()["result"]["response"], dict)
        else:
            assert (answer.status_code, code(answer)) == (400, 5024)
            assert "was cut off at max_tokens (200)" in answer.text


def test_a_stream(live: LiveServer) -> None:
    *events, last, end = sse_events(live.run(ask(SIMPLE, stream=True)).text)
    assert end == "[DONE]"
    assert json.loads(last)["usage"]["completion_tokens"] >= len(events)
    Draft202012Validator(SIMPLE).validate(
        json.loads("".join(json.loads(event)["response"] for event in events))
    )


def test_a_cut_stream_ends_in_an_error(live: LiveServer) -> None:
    events = sse_events(live.run(ask(SIMPLE, stream=True, max_tokens=2)).text)
    assert json.loads(events[-1])["errors"][0]["code"] == 5024
    assert "was cut off at max_tokens (2)" in events[-1]


def test_with_an_adapter(live: LiveServer) -> None:
    answer = live.run(ask(SIMPLE, lora="pirate"))
    Draft202012Validator(SIMPLE).validate(answer.json()["result"]["response"])


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        made = {"type": "object", "properties": {"a": made}}
    return made


def doubled(links: int) -> dict[str, Any]:
    """Twice as much to try with each link."""
    link: Callable[[int], dict[str, Any]] = lambda index: {"$ref": f"#/$defs/d{index}"}  # noqa: E731
    chain: dict[str, Any] = {f"d{index}": {"oneOf": [link(index + 1)] * 2} for index in range(links)}
    return {"$defs": {**chain, f"d{links}": {"type": "boolean"}}, **link(0)}


@pytest.mark.parametrize(
    ("wanted", "codes"),
    [
        ({"$ref": "#"}, {5024}),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, {5024}),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}, "required": ["a"]}, {5024}),
        ({"not": {}}, {5024}),
        ({"type": "object", "not": {"required": ["a"]}, "properties": {"b": {"const": 1}}}, {200, 5024}),
        ({"type": "string", "maxLength": 10, "pattern": "^(a+)+$"}, {200, 5024}),
        ({"type": "string", "pattern": "^((a|a)*)*b$"}, {200, 5024}),
        ({"type": "string", "pattern": "^((.{1,1000}){1,1000}){1,1000}$"}, {5006}),
        ({"type": "string", "pattern": "^(?=a)\\1$"}, {5024, 5006}),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 10_000}, {5024}),
        ({"type": "integer", "minimum": -1e300}, {200, 5024}),
        (
            {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"enum": [1, 2]}, "maxItems": 4},
            {5024},
        ),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, {5006}),
        ({"enum": [f"value {index}" for index in range(10_000)]}, {5006}),
        ({"title": "x" * 1_000_000}, {5006}),
        ({"type": "nope"}, {5006}),
        (nested(20), {200, 5024}),
        (doubled(40), {5024}),
    ],
)
def test_what_is_made_to_break_it(live: LiveServer, wanted: dict[str, Any], codes: set[int]) -> None:
    answer = live.run(ask(wanted, max_tokens=100))
    if answer.status_code == 200:
        Draft202012Validator(wanted).validate(answer.json()["result"]["response"])
    assert (200 if answer.status_code == 200 else code(answer)) in codes, answer.text
    assert len(answer.text) < 2000
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("levels", "refusal"), [(900, 5006), (1100, 3003), (100_001, 3006)])
def test_depth(live: LiveServer, levels: int, refusal: int) -> None:
    """The first is deeper than a schema may be, the second than JSON may be, the third has more values too."""
    body = json.dumps(ask({"deep": 0})).replace('{"deep": 0}', '{"items":' * levels + "{}" + "}" * levels)
    answer = live.client.post(live.path(), content=body)
    assert (answer.status_code, code(answer)) == (413 if refusal == 3006 else 400, refusal)


def test_others_go_on_beside_a_schema_that_takes_long(live: LiveServer) -> None:
    """The slow one is killed after its limit, and a looser grammar made; meanwhile and afterwards everybody else is
    answered.
    """
    slow = {
        "type": "object",
        "properties": {f"p{n}": {"type": "string", "maxLength": 256 + n} for n in range(40)},
    }
    with ThreadPoolExecutor(3) as pool:
        slowly = pool.submit(live.run, ask(slow))
        plain = [pool.submit(live.text, QUESTION) for _ in range(10)]
        waiting = pool.submit(live.run, ask(SIMPLE))
        assert {answer.result() for answer in plain} == {ANSWER}
        Draft202012Validator(SIMPLE).validate(waiting.result().json()["result"]["response"])
        assert "No grammar" not in slowly.result().text
    assert "No grammar" not in live.run(ask(slow)).text  # remembered, so at once


def test_stop_and_logprobs(live: LiveServer) -> None:
    """Through the dialect that has them."""
    messages = [{"role": "user", "content": QUESTION}]
    path = "/client/v4/accounts/local/ai/v1/chat/completions"
    body = {"model": HF, "messages": messages, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    (choice,) = live.client.post(path, json=body).json()["choices"]
    assert choice["message"]["content"] == ANSWER
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens).strip() == ANSWER
    assert all(len(token["top_logprobs"]) == 3 and token["logprob"] <= 0 for token in tokens)
    stop = ANSWER.split()[3]
    (choice,) = live.client.post(path, json={**body, "stop": [stop]}).json()["choices"]
    assert choice["message"]["content"] == ANSWER[: ANSWER.index(stop)]
    assert choice["finish_reason"] == "stop"
