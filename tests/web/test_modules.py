"""The page's modules that need no page (app/web/{schema,events,errors,meter,dropped}.js), run by Node."""

import base64
import json
import subprocess
from typing import Any

import pytest

from tests.clients.node import BIN
from tests.live.server import CHECKOUT

PROGRAM = CHECKOUT / "tests" / "web" / "modules.mjs"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def call(*calls: tuple[str, str, list[Any]]) -> list[Any]:
    """Each call's value; null for undefined."""
    done = subprocess.run(
        [BIN / "node", "--no-warnings", PROGRAM],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def one(file: str, name: str, *arguments: Any) -> Any:
    return call((file, name, list(arguments)))[0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_whatever_pieces_they_come_in(size: int) -> None:
    text = (
        ': ping\n\ndata: {"response":"äöü 🦜\u2028"}\n\ndata: {"response":""}\n\n: ping\n\ndata: [DONE]\n\n'
    )
    data = text.encode()
    pieces = [base64.b64encode(data[at : at + size]).decode() for at in range(0, len(data), size)]
    assert one("events.js", "events", pieces) == [
        '{"response":"äöü 🦜\u2028"}',
        '{"response":""}',
        "[DONE]",
    ]


def test_an_event_that_is_cut_off_is_none() -> None:
    pieces = [base64.b64encode(b'data: {"a":1}\n\ndata: {"b"').decode()]
    assert one("events.js", "events", pieces) == ['{"a":1}']


@pytest.mark.parametrize(
    ("schema", "slider"),
    [
        ({"type": "number", "minimum": 0, "maximum": 5}, {"min": 0, "max": 5, "step": 0.1}),
        ({"type": "number", "minimum": 0.001, "maximum": 1}, {"min": 0.001, "max": 1, "step": 0.001}),
        ({"type": "integer", "minimum": 1, "maximum": 50}, {"min": 1, "max": 50, "step": 1}),
        ({"type": "number", "minimum": 0, "maximum": 1000}, {"min": 0, "max": 1000, "step": 1}),
        ({"type": "integer", "minimum": 1, "maximum": 9999999999}, None),
        ({"type": "integer", "minimum": 1}, None),
        ({"type": "integer"}, None),
        ({"type": "number", "minimum": 1, "maximum": 1}, None),
    ],
)
def test_a_slider_has_the_published_bounds(schema: dict[str, Any], slider: Any) -> None:
    assert one("schema.js", "sliderOf", schema) == slider


@pytest.mark.parametrize(
    ("schema", "text", "meant"),
    [
        ({"type": "integer"}, " ", {}),
        ({"type": "integer"}, "12", {"value": 12}),
        ({"type": "integer"}, "5.0", {"value": 5}),
        ({"type": "integer"}, "1e3", {"value": 1000}),
        ({"type": "integer"}, "5.5", {"problem": "must be a whole number"}),
        ({"type": "integer"}, "five", {"problem": "must be a number"}),
        ({"type": "integer"}, "Infinity", {"problem": "must be a number"}),
        ({"type": "number", "minimum": 0}, "-1", {"problem": "must be at least 0"}),
        ({"type": "number", "maximum": 2}, "2.1", {"problem": "must be at most 2"}),
        ({"type": "string", "maxLength": 2}, "🦜🦜", {"value": "🦜🦜"}),
        (
            {"type": "string", "maxLength": 2},
            "abc",
            {"problem": "must have at most 2 characters, has 3"},
        ),
        ({"type": "number", "exclusiveMinimum": 0}, "0", {"problem": "must be above 0"}),
        ({"type": "number", "exclusiveMaximum": 1}, "1", {"problem": "must be below 1"}),
        ({"type": "number", "multipleOf": 0.1}, "0.3", {"value": 0.3}),
        ({"type": "number", "multipleOf": 0.1}, "0.35", {"problem": "must be a multiple of 0.1"}),
        ({"type": ["integer", "null"]}, "5", {"value": 5}),
        ({"enum": [1, 2]}, "2", {"value": 2}),
        ({"type": "array", "minItems": 1}, "[]", {"problem": "must have at least 1 item"}),
        ({"type": "array"}, "[1]", {"value": [1]}),
        ({"type": "array"}, '{"a": 1}', {"problem": "must be an array, is object"}),
        ({"type": "object"}, "null", {"problem": "must be an object, is null"}),
        ({"type": "object"}, "{", {"problem": "must be JSON"}),
        ({}, "3", {"value": 3}),
    ],
)
def test_what_a_text_means(schema: dict[str, Any], text: str, meant: dict[str, Any]) -> None:
    assert one("schema.js", "read", schema, text) == meant


def names(branches: list[list[dict[str, Any]]]) -> list[list[tuple[str, str]]]:
    return [[(field["name"], field["kind"]) for field in branch] for branch in branches]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {"text": {"type": "string"}}}, [[("text", "text")]]),
        (
            {"oneOf": [{"properties": {"prompt": {"type": "string"}}}, {"properties": {"messages": {}}}]},
            [[("prompt", "text")], [("messages", "json")]],
        ),
        (
            {
                "properties": {"seed": {"type": "integer"}},
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            [[("seed", "number")], [("seed", "number")]],
        ),
        (
            {"properties": {"mode": {"enum": [1, 2]}, "raw": {"type": "boolean"}}},
            [[("mode", "choice"), ("raw", "boolean")]],
        ),
    ],
)
def test_branches_have_what_stands_around_them_too(schema: dict[str, Any], expected: Any) -> None:
    assert names(one("schema.js", "branchesOf", schema)) == [
        [tuple(field) for field in branch] for branch in expected
    ]


@pytest.mark.parametrize(
    ("schema", "rules"),
    [
        ({"minimum": 0, "maximum": 5}, "0 to 5"),
        ({"minimum": 1}, "at least 1"),
        ({"exclusiveMinimum": 0, "maximum": 2, "multipleOf": 0.5}, "above 0, at most 2, a multiple of 0.5"),
        ({"minLength": 1, "maxLength": 6144}, "at least 1 character, at most 6144 characters"),
        ({"minItems": 2}, "at least 2 items"),
        ({}, ""),
    ],
)
def test_rules_in_words(schema: dict[str, Any], rules: str) -> None:
    assert one("schema.js", "boundsOf", schema) == rules


def test_an_example_has_the_form_that_is_described() -> None:
    schema = {
        "type": "array",
        "items": {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
    }
    assert one("schema.js", "example", schema) == [{"name": "…", "age": 1}]


@pytest.mark.parametrize(
    ("code", "message", "path"),
    [
        (5006, "oneOf at '/' not met, 0 matches: '/top_k' must be <= 50", ["top_k"]),
        (
            5006,
            "'/messages/0/content' must …, required properties at '/' are 'prompt'",
            ["messages", "0", "content"],
        ),
        (5006, "required properties at '/' are 'prompt', '/seed' must be >= 1", ["seed"]),
        (5006, "'/unknown' must be <= 5", None),
        (5033, "Finetune x does not exist", ["lora"]),
        (5007, "No such model", ["model"]),
        (3040, "Capacity temporarily exceeded", None),
    ],
)
def test_where_an_error_is(code: int, message: str, path: list[str] | None) -> None:
    body = {"messages": [], "top_k": 99, "seed": 0, "lora": "x"}
    assert one("errors.js", "pathOf", code, message, body) == path


def test_an_answer_without_an_envelope_is_an_error_too() -> None:
    assert one("errors.js", "of", 502, None) == "502: The server answered 502 without saying why."
    envelope = {"errors": [{"code": 5007, "message": "No such model"}]}
    assert one("errors.js", "of", 400, envelope) == "5007: No such model"
    assert one("errors.js", "of", 429, envelope, "7") == "5007: No such model Try again in 7 s."


def test_a_meter_counts_from_sending_and_between_tokens() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 11}
    seen = [({"tokens": 1}, 1250), ({"tokens": 3}, 1300), ({"usage": usage, "finish_reason": "stop"}, 1750)]
    assert one("meter.js", "measured", 1000, seen) == {
        "tokens": 11,
        "promptTokens": 7,
        "finishReason": "stop",
        "firstTokenS": 0.25,
        "rate": 20,
    }


def test_a_meter_says_nothing_that_it_does_not_know() -> None:
    empty = {"tokens": 0, "promptTokens": None, "finishReason": None, "firstTokenS": None, "rate": None}
    assert one("meter.js", "measured", 0, []) == empty
    assert one("meter.js", "measured", 0, [({"tokens": 1}, 10)])["firstTokenS"] == 0.01
    moment = [({"tokens": 1}, 10), ({"tokens": 20}, 11), ({"tokens": 40}, 259)]
    assert one("meter.js", "measured", 0, moment)["rate"] is None
    assert one("meter.js", "measured", 0, [*moment, ({"tokens": 41}, 260)])["rate"] == 160
    together = one("meter.js", "measured", 0, [({"tokens": 5}, 10)])
    assert (together["rate"], together["firstTokenS"]) == (None, None)


def file(path: str) -> dict[str, Any]:
    return {"file": path, "path": path}


def test_the_two_files_of_an_adapter() -> None:
    files = [file(CONFIG), file(WEIGHTS), file("README.md")]
    whole = {"config": CONFIG, "weights": WEIGHTS, "folder": "", "missing": "", "twice": ""}
    assert one("dropped.js", "adapterOf", files) == whole
    assert "more than one" in one("dropped.js", "adapterOf", [*files, files[0]])["twice"]
    assert CONFIG in one("dropped.js", "adapterOf", files[1:])["missing"]
    assert CONFIG in one("dropped.js", "adapterOf", [])["missing"]


def test_of_a_trainers_folder_the_files_at_the_top() -> None:
    inner = [file(f"out/checkpoint-100/{name}") for name in (CONFIG, WEIGHTS)]
    outer = [file(f"out/{name}") for name in (CONFIG, WEIGHTS)]
    found = one("dropped.js", "adapterOf", [*inner, *outer])
    assert (found["config"], found["folder"], found["twice"]) == (f"out/{CONFIG}", "out", "")
    assert one("dropped.js", "adapterOf", inner)["folder"] == "checkpoint-100"
    two = [*outer, *(file(f"other/{name}") for name in (CONFIG, WEIGHTS))]
    assert "more than one" in one("dropped.js", "adapterOf", two)["twice"]
